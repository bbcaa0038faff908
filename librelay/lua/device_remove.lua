-- Forgets a device: its token is good for nothing from now on.
-- ARGV    id, tenant (* for all), relay, by, from, request
-- returns {'ok'} or {'none'}
local id, tenant, relay = ARGV[1], ARGV[2], ARGV[3]
local actor = {by = ARGV[4], from = ARGV[5], request = ARGV[6]}
local d = redis.call('HMGET', key.device(id), 'tenant', 'label')
if not d[1] or tenant ~= '*' and d[1] ~= tenant then
  return {'none'}
end
redis.call('DEL', key.device(id))
redis.call('ZREM', key.devices(), id)
redis.call('ZREM', key.devices_of(d[1]), id)
act('remove', '', relay, actor, 'device', d[2] or '', 'id', id, 'tenant', d[1])
return {'ok'}
