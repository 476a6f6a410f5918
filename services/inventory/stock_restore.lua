-- Brings the stock up to what was told, where it is older; levels and entries each by their own facts.
--
-- KEYS  1  what the fact is about: a seller's levels, an order's entry, or a command's answer
-- ARGV  1  the operation; 2 for how many ms to remember what holds nothing
--       3… stored   SKU                              its level, as "ON_HAND RESERVED VERSION"
--          level    SKU STORED ON_HAND RESERVED VERSION   from what was stored to what was told
--          command                                      it was answered, and has its facts
--          placed   OUTCOME EVENT_ID SKU UNITS …        what an order holds from its placement on
--          moved    OUTCOME VERSION SKU HELD SHIPPED …  by how much a fact changes both
--
-- Restored answers name no levels: the facts that told of them are published. See stock.lua for what
-- an entry is.

local ANSWERS = 4096 -- as in stock.lua

local key, operation, remember_ms = KEYS[1], ARGV[1], ARGV[2]

local function answer(outcome)
  return '["' .. outcome .. '",[]]'
end

local function units_of(field)
  return cjson.decode(redis.call('HGET', key, field) or '{}')
end

local function write_entry(held, ...)
  redis.call('HSET', key, 'held', cjson.encode(held), ...)
  if next(held) then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, remember_ms)
  end
end

local function add(units, sku, change)
  local now = (units[sku] or 0) + tonumber(change)
  units[sku] = now > 0 and now or nil
end

if operation == 'stored' then
  return redis.call('HGET', key, ARGV[3]) or '0 0 0'
elseif operation == 'level' then
  if (redis.call('HGET', key, ARGV[3]) or '0 0 0') ~= ARGV[4] then
    return 0
  end
  redis.call('HSET', key, ARGV[3], ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. ARGV[7])
  return 1
elseif operation == 'command' then
  redis.call('SET', key, answer('passed'), 'PX', remember_ms, 'NX')
elseif operation == 'placed' then
  if redis.call('HEXISTS', key, 'reserve') == 0 then
    local held = {}
    for at = 5, #ARGV, 2 do
      add(held, ARGV[at], ARGV[at + 1])
    end
    write_entry(held, 'placed_by', ARGV[4], 'reserve', answer(ARGV[3]))
  end
elseif tonumber(redis.call('HGET', key, 'applied') or 0) < tonumber(ARGV[4]) then
  local held, shipped, version = units_of('held'), units_of('shipped'), ARGV[4]
  for at = 5, #ARGV, 3 do
    add(held, ARGV[at], ARGV[at + 1])
    add(shipped, ARGV[at], ARGV[at + 2])
  end
  if ARGV[3] == 'released' then
    held = {}
    redis.call('HSETNX', key, 'reserve', answer('closed'))
  else
    redis.call('HSET', key, 'shipped', cjson.encode(shipped))
  end
  write_entry(held, 'applied', version, version % ANSWERS, version .. ' ' .. answer(ARGV[3]))
end
return '["passed",[]]'
