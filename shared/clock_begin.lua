-- Begin the clock's record at a business time of one's choice, which may lie in the past: only a
-- record that is empty can, since business time never goes back.
-- KEYS[1] the record.  ARGV business ms, rate, lead ms.  -> wall ms of the step, or nothing.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
local time = redis.call('TIME')
local wall_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[3])
local wall = string.format('%.0f', wall_ms)
redis.call('XADD', KEYS[1], wall .. '-0', 'business_ms', ARGV[1], 'rate', ARGV[2])
return wall
