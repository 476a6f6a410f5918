-- Append a step to the clock's record: it begins ahead of now, and business time never goes back.
-- Where it is to end, the step with which business time stands still is appended with it.
-- KEYS[1] the record, a stream whose ids are '<wall ms>-0', so that steps can only be appended
-- ARGV rate, earliest business ms, lead ms when leaving rate 1, lead ms else, most steps, end ms,
--   the business ms at which it ends, or nothing
-- -> {wall ms, business ms} of the last new step
local rate, earliest = ARGV[1], tonumber(ARGV[2])
local lead_ms, geared_lead_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local max_steps, end_ms = ARGV[5], tonumber(ARGV[6])

local function digits(number) -- tostring() would keep 14 of them
  return string.format('%.0f', number)
end

local function append(wall_ms, business_ms, its_rate)
  redis.call('XADD', KEYS[1], 'MAXLEN', max_steps, digits(wall_ms) .. '-0',
    'business_ms', digits(business_ms), 'rate', its_rate)
end

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local last = {wall_ms = now_ms, business_ms = now_ms, rate = 1}
local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if entry then
  last.wall_ms = tonumber(string.match(entry[1], '^%d+'))
  last.business_ms = tonumber(entry[2][2])
  last.rate = tonumber(entry[2][4])
else -- until here business time was wall time: say so for those who ask about earlier instants
  append(last.wall_ms, last.business_ms, last.rate)
end

local ahead_ms = last.rate == 1 and lead_ms or geared_lead_ms
local wall_ms = math.max(now_ms + ahead_ms, last.wall_ms + 1)
local reached_ms = last.business_ms + (wall_ms - last.wall_ms) * last.rate
local business_ms = math.max(math.min(reached_ms, end_ms), earliest)
append(wall_ms, business_ms, rate)
if ARGV[7] then
  local passes_ms = math.max(math.floor((tonumber(ARGV[7]) - business_ms) / tonumber(rate)), 1)
  wall_ms = wall_ms + passes_ms
  business_ms = math.min(business_ms + passes_ms * tonumber(rate), end_ms)
  append(wall_ms, business_ms, 0)
end
return {digits(wall_ms), digits(business_ms)}
