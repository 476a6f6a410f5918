-- Tells who may commit, and which run of Redis this is: a server that was started anew, or another
-- that took its place, may have gone back, also where the token is still the same.
-- KEYS: fence.  Returns the stored token, false where there is none, and the run: its id, and
-- that of the history that it replicates, which is another once it has followed another server.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
return {redis.call('GET', KEYS[1]), run_id .. ' ' .. history}
