-- Revokes an enrolment code. The devices that it let in stay.
-- ARGV    id, tenant (* for all), relay, by, from, request
-- returns {'ok'} or {'none'}
local id, tenant, relay = ARGV[1], ARGV[2], ARGV[3]
local actor = {by = ARGV[4], from = ARGV[5], request = ARGV[6]}
local whose = redis.call('HGET', key.code(id), 'tenant')
if not whose or tenant ~= '*' and whose ~= tenant then
  return {'none'}
end
redis.call('DEL', key.code(id))
redis.call('ZREM', key.codes(), id)
redis.call('ZREM', key.codes_of(whose), id)
act('revoke', '', relay, actor, 'code', id, 'tenant', whose)
return {'ok'}
