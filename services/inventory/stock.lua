-- One seller's stock. Every operation is done once, and its first answer is given for ever after.
--
-- KEYS  1  the seller's levels: a hash, SKU -> "ON_HAND RESERVED VERSION"
--       2  what is kept of who asks: an order's entry (a hash), or a stock command's answer
-- ARGV  1  the operation; 2 for how many ms to remember it; 3 the most units a command may leave
--       4… reserve  EVENT_ID SKU UNITS …        an order's units, all or none
--          release  VERSION WRITE_OFF (0, 1)    what the order still holds, by a fact's version
--          ship     VERSION SKU CHANGE …        positive: held units leave; negative: they are back
--          return   VERSION SKU SELLABLE DAMAGED …  shipped units come back; damaged ones stay gone
--          lasts    SKU UNITS …                 is so much available? changes nothing
--          set      SKU ON_HAND
--          adjust   SKU CHANGE
-- Answers with JSON: [outcome, [[SKU, units, on hand, reserved, version, depleted, change of what is
-- on hand, change of what is reserved], …]].
--
-- An order's entry has the fields held and shipped (JSON, SKU -> units; what came back is shipped no
-- more), placed_by (an event's id), reserve (the answer to that event), applied (the version of the
-- last fact), and for each fact VERSION % ANSWERS -> "VERSION ANSWER".
-- What it answers is worked out before anything is written: an error leaves no trace.

local ANSWERS = 4096 -- several times what a task can hold undecided, see shared/partition.py

local levels, asker = KEYS[1], KEYS[2]
local operation, remember_ms, most_units = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function level_of(sku)
  local stored = redis.call('HGET', levels, sku) or '0 0 0'
  local on_hand, reserved, version = string.match(stored, '^(%-?%d+) (%d+) (%d+)$')
  return tonumber(on_hand), tonumber(reserved), tonumber(version)
end

-- A SKU after a change, as a row of an answer; as it is, and false, where P1 forbids the change.
-- Fewer are available than none where Redis lost a change that is not asked again yet: until then
-- what takes none of them goes on.
local function changed(sku, units, on_hand_change, reserved_change, most)
  local on_hand, reserved, version = level_of(sku)
  local new_on_hand, new_reserved = on_hand + on_hand_change, reserved + reserved_change
  local available = new_on_hand - new_reserved
  local oversells = available < math.min(0, on_hand - reserved)
  if new_reserved < 0 or oversells or new_on_hand > (most or math.huge) then
    return {sku, units, on_hand, reserved, version, false, 0, 0}, false
  end
  local depleted = available == 0 and reserved < on_hand
  return {
    sku, units, new_on_hand, new_reserved, version + 1, depleted, on_hand_change, reserved_change
  }, true
end

local function answer(outcome, rows)
  return '["' .. outcome .. '",' .. (rows[1] and cjson.encode(rows) or '[]') .. ']'
end

local function write_levels(rows)
  for _, row in ipairs(rows) do
    redis.call('HSET', levels, row[1], row[3] .. ' ' .. row[4] .. ' ' .. row[5])
  end
end

local function units_of(field)
  return cjson.decode(redis.call('HGET', asker, field) or '{}')
end

-- An entry that holds nothing may be forgotten once nothing of its order can come again.
local function write_entry(held, ...)
  redis.call('HSET', asker, 'held', cjson.encode(held), ...)
  if next(held) then
    redis.call('PERSIST', asker)
  else
    redis.call('PEXPIRE', asker, remember_ms)
  end
end

local function reserve(event_id)
  local first = redis.call('HMGET', asker, 'reserve', 'placed_by')
  if first[2] and first[2] ~= event_id then
    return answer('taken', {})
  elseif first[1] then
    return first[1]
  end
  local rows, held, lacking = {}, {}, {}
  for at = 5, #ARGV, 2 do
    local sku, units = ARGV[at], tonumber(ARGV[at + 1])
    local row, possible = changed(sku, units, 0, units)
    rows[#rows + 1], held[sku] = row, units
    if not possible then
      lacking[#lacking + 1] = row
    end
  end
  local reply = answer('reserved', rows)
  if lacking[1] then
    reply, rows, held = answer('rejected', lacking), {}, {}
  end
  write_levels(rows)
  write_entry(held, 'placed_by', event_id, 'reserve', reply)
  return reply
end

-- The first answer about a fact. One that has none and is older than the last is never applied: it
-- had its turn before, and what it answered then was forgotten since.
local function first_answer(version)
  local kept = redis.call('HMGET', asker, version % ANSWERS, 'applied')
  local of, reply = string.match(kept[1] or '', '^(%d+) (.*)$')
  if tonumber(of) == version then
    return reply
  elseif version <= tonumber(kept[2] or 0) then
    return answer('passed', {})
  end
end

local function apply(version, outcome, rows, held, ...)
  local reply = answer(outcome, rows)
  write_levels(rows)
  write_entry(held, 'applied', version, version % ANSWERS, version .. ' ' .. reply, ...)
  return reply
end

local function release(version)
  local held, written_off = units_of('held'), ARGV[5] == '1'
  local rows = {}
  for sku, units in pairs(held) do
    local row, possible = changed(sku, units, written_off and -units or 0, -units)
    if not possible then
      return answer('impossible', {row})
    end
    rows[#rows + 1] = row
  end
  -- The answer to a reservation that comes later: the order is gone, it takes nothing.
  redis.call('HSETNX', asker, 'reserve', answer('closed', {}))
  return apply(version, 'released', rows, {})
end

local function ship(version)
  local held, shipped = units_of('held'), units_of('shipped')
  local rows = {}
  for at = 5, #ARGV, 2 do
    local sku, change = ARGV[at], tonumber(ARGV[at + 1])
    local row, possible = changed(sku, change, -change, -change)
    local still_held, now_shipped = (held[sku] or 0) - change, (shipped[sku] or 0) + change
    if not possible or still_held < 0 or now_shipped < 0 then
      return answer('impossible', {row})
    end
    held[sku] = still_held > 0 and still_held or nil
    shipped[sku] = now_shipped > 0 and now_shipped or nil
    rows[#rows + 1] = row
  end
  return apply(version, 'shipped', rows, held, 'shipped', cjson.encode(shipped))
end

local function take_back(version)
  local shipped, rows = units_of('shipped'), {}
  for at = 5, #ARGV, 3 do
    local sku, sellable, damaged = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local row, possible = changed(sku, sellable, sellable, 0)
    local still_shipped = (shipped[sku] or 0) - sellable - damaged
    if not possible or still_shipped < 0 then
      return answer('impossible', {row})
    end
    shipped[sku] = still_shipped > 0 and still_shipped or nil
    if sellable > 0 then
      rows[#rows + 1] = row
    end
  end
  return apply(version, 'returned', rows, units_of('held'), 'shipped', cjson.encode(shipped))
end

-- Nothing is kept of this: its answer is true when it is given, and a fact is made of it then.
local function lasts()
  local lacking = {}
  for at = 4, #ARGV, 2 do
    local sku, units = ARGV[at], tonumber(ARGV[at + 1])
    local on_hand, reserved, version = level_of(sku)
    if on_hand - reserved < units then
      lacking[#lacking + 1] = {sku, units, on_hand, reserved, version, false, 0, 0}
    end
  end
  return answer(lacking[1] and 'lacking' or 'lasts', lacking)
end

local function supply()
  local first = redis.call('GET', asker)
  if first then
    return first
  end
  local sku, units = ARGV[4], tonumber(ARGV[5])
  local on_hand, reserved = level_of(sku)
  local change = operation == 'set' and units - on_hand or units
  local row, possible = changed(sku, change, change, 0, math.max(most_units, on_hand))
  local refusal = on_hand + change < reserved and 'below_reserved' or 'above_limit'
  local reply = answer(possible and 'counted' or refusal, {row})
  write_levels(possible and {row} or {})
  redis.call('SET', asker, reply, 'PX', remember_ms)
  return reply
end

if operation == 'reserve' then
  return reserve(ARGV[4])
elseif operation == 'set' or operation == 'adjust' then
  return supply()
elseif operation == 'lasts' then
  return lasts()
end
local version = tonumber(ARGV[4])
local operations = {release = release, ship = ship, ['return'] = take_back}
return first_answer(version) or operations[operation](version)
