-- Tells which run of Redis this is, and how far a partition is: where the run is another, or the
-- number of the last commit a lower one, Redis may have gone back to what it had before.
-- KEYS: meta.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
return {run_id, redis.call('HGET', KEYS[1], 'commit') or '0'}
