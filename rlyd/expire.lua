-- Takes tunnels whose time is over off the list, and records that; of several relays each tunnel
-- meets one.
-- ARGV    who asks
-- returns how many
local ids = redis.call('ZRANGEBYSCORE', key.tunnels(), '-inf', integer(clock()), 'LIMIT', 0, 200)
for _, id in ipairs(ids) do
  redis.call('ZREM', key.tunnels(), id)
  local f = redis.call('HMGET', key.tunnel(id), 'relay', 'tenant')
  event('expire', id, f[1] or '', ARGV[1], 'tenant', f[2] or '')
end
return #ids
