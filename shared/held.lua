-- Tells who may commit, and which run of Redis this is: a server that was started anew, or another
-- that took its place, may have gone back, also where the token is still the same.
-- KEYS: fence.  Returns the stored token, false where there is none, and the run's id.
return {redis.call('GET', KEYS[1]), string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')}
