-- Writes all of a batch or nothing of it, and only for the holder of the fence token.
-- KEYS: fence, then the key of each write in order.
-- ARGV: the token held, the token from now on, then for each write its command, the number of its
-- further arguments, and these.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
local at = 3
for key = 2, #KEYS do
  local count = tonumber(ARGV[at + 1])
  redis.call(ARGV[at], KEYS[key], unpack(ARGV, at + 2, at + 1 + count))
  at = at + 2 + count
end
return 1
