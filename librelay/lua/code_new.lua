-- Makes an enrolment code.
-- ARGV    one JSON: id, hash (SHA-256 of the code), tenant ('' for nobody's), label, uses, approval
--         (on|off), ttl (ms), latest (start, ms), relay, actor, once (once.lua) or nil
-- returns {'ok', id, created ms, expires ms} {'again', id} it was made before {'other'} (once.lua)
--   {'late'} {'id'} the id is taken {'full'}
local want = cjson.decode(ARGV[1])
local MOST = 10000
local now = clock()
if now > want.latest then
  return {'late'}
end
local before = answered(want.once)
if before then
  return before
end
redis.call('ZREMRANGEBYSCORE', key.codes(), '-inf', integer(now))
if redis.call('EXISTS', key.code(want.id)) == 1 then
  return {'id'}
elseif redis.call('ZCARD', key.codes()) >= MOST then
  return {'full'}
end
local expires = now + want.ttl
put(key.code(want.id), expires, 'id', want.id, 'hash', want.hash, 'tenant', want.tenant,
  'label', want.label, 'uses', integer(want.uses), 'used', 0, 'approval', want.approval,
  'created', integer(now), 'expires', integer(expires), 'by', want.actor.by)
redis.call('ZADD', key.codes(), integer(expires), want.id)
if want.tenant ~= '' then
  enter(key.codes_of(want.tenant), want.id, expires, now)
end
act('code', '', want.relay, want.actor, 'code', want.id, 'expires', integer(expires),
  'tenant', want.tenant)
remember(want.once, {'again', want.id}, now)
return {'ok', want.id, integer(now), integer(expires)}
