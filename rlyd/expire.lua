-- Takes tunnels whose time is over off the list, and records that; of several relays each tunnel
-- meets one.
-- ARGV    who asks
-- returns how many
local ids = redis.call('ZRANGEBYSCORE', key.tunnels(), '-inf', integer(clock()), 'LIMIT', 0, 200)
for _, id in ipairs(ids) do
  redis.call('ZREM', key.tunnels(), id)
  event('expire', id, redis.call('HGET', key.tunnel(id), 'relay') or '', ARGV[1])
end
return #ids
