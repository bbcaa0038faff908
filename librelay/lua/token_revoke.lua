-- Revokes a token, and those that were made with it: who stole it may have made some.
-- ARGV    id, tenant (* for all), relay, by, from, request
-- returns {'ok', id…} or {'none'}
local id, tenant, relay = ARGV[1], ARGV[2], ARGV[3]
local actor = {by = ARGV[4], from = ARGV[5], request = ARGV[6]}
local whose = redis.call('HGET', key.token(id), 'tenant')
if not whose or tenant ~= '*' and whose ~= tenant then
  return {'none'}
end
local made = {}
for _, other in ipairs(redis.call('ZRANGE', key.tokens(), 0, -1)) do
  local by = redis.call('HGET', key.token(other), 'by') or ''
  made[by] = made[by] or {}
  table.insert(made[by], other)
end
local gone, i = {id}, 1
while gone[i] do
  for _, other in ipairs(made['token:' .. gone[i]] or {}) do
    gone[#gone + 1] = other
  end
  local of = redis.call('HGET', key.token(gone[i]), 'tenant') or ''
  redis.call('DEL', key.token(gone[i]))
  redis.call('ZREM', key.tokens(), gone[i])
  redis.call('ZREM', key.tokens_of(of), gone[i])
  act('revoke', '', relay, actor, 'token', gone[i], 'tenant', nobody_if_all(of))
  i = i + 1
end
return {'ok', unpack(gone)}
