-- Approves a device, or takes that back; calls it otherwise.
-- ARGV    id, tenant (* for all), approved (on, off, '' as it is), label ('' as it is), relay, by,
--         from, request
-- returns {'ok'} {'none'} {'version', v}
local id, tenant, approved, label, relay = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local actor = {by = ARGV[6], from = ARGV[7], request = ARGV[8]}
local device = key.device(id)
local d = redis.call('HMGET', device, 'v', 'tenant', 'approved', 'label')
if not d[1] or tenant ~= '*' and d[2] ~= tenant then
  return {'none'}
elseif d[1] ~= VERSION then
  return {'version', d[1]}
end
-- What is as it was is written, too: who asks again may not know whether it is confirmed.
local now_called = label ~= '' and label or d[4]
redis.call('HSET', device, 'label', now_called,
  'approved', approved ~= '' and approved or d[3])
if label ~= '' and label ~= d[4] then
  act('label', '', relay, actor, 'device', label, 'id', id, 'tenant', d[2])
end
if approved ~= '' and approved ~= d[3] then
  act(approved == 'on' and 'approve' or 'suspend', '', relay, actor, 'device', now_called, 'id', id,
    'tenant', d[2])
end
return {'ok'}
