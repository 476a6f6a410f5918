-- Takes a partition over: from now on only the holder of this token can commit.
-- KEYS: fence, meta, outbox, calls.  ARGV: token.
-- Returns what the last commit left: meta as a flat list, the outbox that may not be published, and
-- the calls without a final answer; then which run of Redis this is (held.lua).
redis.call('SET', KEYS[1], ARGV[1])
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
return {
  redis.call('HGETALL', KEYS[2]), redis.call('LRANGE', KEYS[3], 0, -1), redis.call('HVALS', KEYS[4]),
  run_id .. ' ' .. history
}
