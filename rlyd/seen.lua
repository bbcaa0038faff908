-- rlyd has looked at the listen table, and live: has all that it saw. If Redis has lost what it knew, nobody knows which
-- addresses caches and sessions may still have: none comes back for a cooldown.
-- KEYS[1] prefix
-- ARGV    relay, when (ms), the `when` that was written last or earlier (0: no such thing is known), cooldown ms
-- returns 1 if Redis has lost it
local key = KEYS[1] .. 'seen:' .. ARGV[1]
local lost = (tonumber(redis.call('HGET', key, 'at') or '') or 0) < tonumber(ARGV[3])
if lost then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('HSET', key, 'until', string.format('%.0f', now + tonumber(ARGV[4])))
end
redis.call('HSET', key, 'at', ARGV[2], 'redis', string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'))
return lost and 1 or 0
