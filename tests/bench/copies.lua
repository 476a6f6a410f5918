-- Writes what there is of one subject again, under other ids.
-- KEYS: its own, which have its id in their names; then sorted sets that have members about it.
-- ARGV: its id, the number of the first copy, how many.
local function parts_of(text)
  local parts, at = {}, 1
  local from, to = string.find(text, ARGV[1], at, true)
  while from do
    parts[#parts + 1], at = string.sub(text, at, from - 1), to + 1
    from, to = string.find(text, ARGV[1], at, true)
  end
  parts[#parts + 1] = string.sub(text, at)
  return parts
end

-- The command that writes a key again, and its arguments.
local function command_of(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' then
    local ms = redis.call('PTTL', key)
    return {'SET', redis.call('GET', key), unpack(ms > 0 and {'PX', ms} or {})}
  elseif kind == 'hash' then
    return {'HSET', unpack(redis.call('HGETALL', key))}
  end
  local found
  if #parts_of(key) > 1 then
    found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else
    local every = redis.call('ZCARD', key)
    found = redis.call('ZSCAN', key, 0, 'MATCH', '*' .. ARGV[1] .. '*', 'COUNT', every + 1)[2]
  end
  local adds = {'ZADD'}
  for n = 1, #found, 2 do
    adds[n + 1], adds[n + 2] = found[n + 1], found[n]
  end
  return adds
end

local writes = {}
for _, key in ipairs(KEYS) do
  local command = command_of(key)
  if #command > 1 then
    local parts = {}
    for n = 2, #command do
      parts[n - 1] = parts_of(command[n])
    end
    writes[#writes + 1] = {command[1], parts_of(key), parts}
  end
end
for number = tonumber(ARGV[2]), tonumber(ARGV[2]) + tonumber(ARGV[3]) - 1 do
  local id = string.format('249-%07d-0000001', number)
  for _, write in ipairs(writes) do
    local args = {}
    for n, parts in ipairs(write[3]) do
      args[n] = table.concat(parts, id)
    end
    redis.call(write[1], table.concat(write[2], id), unpack(args))
  end
end
