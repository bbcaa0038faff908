-- Lets a device in that shows an enrolment code, and counts that.
-- ARGV    one JSON: code (id), code_hash, id and hash (of the device; SHA-256 of its
--         token's secret), label ('': its
--         id), latest (start, ms), relay, actor, once (once.lua) or nil
-- returns {'ok', id, tenant, label, approved on|off, created ms} {'none'} there is no such code
--   {'used'} {'gone'} the device was removed since {'taken'} its token was used since {'id'} the id
--   is taken {'other'} (once.lua) {'late'} {'version', v}
local want = cjson.decode(ARGV[1])
local now = clock()
if now > want.latest then
  return {'late'}
end
local c = redis.call('HMGET', key.code(want.code), 'v', 'hash', 'expires', 'tenant', 'uses', 'used',
  'approval')
if not c[1] or c[2] ~= want.code_hash or (tonumber(c[3] or '') or 0) <= now then
  return {'none'}
end
if c[1] ~= VERSION then
  return {'version', c[1]}
end

-- The answer may have been lost, and the token with it: the same device gets another one, as long
-- as the first one has not been used.
local before = answered(want.once)
if before and before[1] == 'other' then
  return before
elseif before then
  local id = before[1]
  local d = redis.call('HMGET', key.device(id), 'tenant', 'label', 'approved', 'created', 'seen')
  if not d[1] then
    return {'gone'}
  elseif d[4] ~= d[5] then
    return {'taken'}
  end
  redis.call('HSET', key.device(id), 'hash', want.hash)
  return {'ok', id, d[1], d[2], d[3], d[4]}
end

local tenant, used = c[4] or '', tonumber(c[6] or '') or 0
if used >= (tonumber(c[5] or '') or 0) then
  return {'used'}
elseif redis.call('EXISTS', key.device(want.id)) == 1 then
  return {'id'}
end
local label = want.label ~= '' and want.label or want.id
local approved = c[7] == 'off' and 'on' or 'off'
redis.call('HSET', key.code(want.code), 'used', integer(used + 1))
redis.call('HSET', key.device(want.id), 'v', VERSION, 'id', want.id, 'hash', want.hash,
  'tenant', tenant, 'label', label, 'approved', approved, 'created', integer(now),
  'seen', integer(now), 'by', want.actor.by, 'from', want.actor.from)
redis.call('ZADD', key.devices(), integer(now), want.id)
if tenant ~= '' then
  redis.call('ZADD', key.devices_of(tenant), integer(now), want.id)
end
act('enrol', '', want.relay, want.actor, 'device', label, 'id', want.id, 'code', want.code,
  'tenant', tenant)
remember(want.once, {want.id}, now)
return {'ok', want.id, tenant, label, approved, integer(now)}
