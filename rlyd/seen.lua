-- rlyd has looked at the listen table, and live: has all that it saw. Writes that to seen:;
-- may_issue.lua tells what it means. Redis has lost what it knew if it knows of no look, or of none
-- as late as the last one that rlyd knows.
-- ARGV    relay, when (ms), the `when` that was written last or earlier (0: none is known),
--         cooldown ms
-- returns 1 if Redis has lost it
local seen = key.seen(ARGV[1])
local lost = (tonumber(redis.call('HGET', seen, 'at') or '') or 0) < tonumber(ARGV[3])
if lost then
  redis.call('HSET', seen, 'until', integer(clock() + tonumber(ARGV[4])))
end
redis.call('HSET', seen, 'at', ARGV[2], 'redis', run_id())
return lost and 1 or 0
