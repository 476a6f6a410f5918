-- The wall time of this Redis and, of the clock's record, the steps from one on.
-- KEYS[1] the record; ARGV[1] the id of the first entry wanted, '-' for all
-- -> {seconds, microseconds, entries}
local now = redis.call('TIME')
return {now[1], now[2], redis.call('XRANGE', KEYS[1], ARGV[1], '+')}
