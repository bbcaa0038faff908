-- Makes an enrolment code.
-- ARGV    one JSON: id, hash (SHA-256 of the code), tenant ('' for nobody's), label, uses, approval
--         (on|off), ttl (ms), latest (start, ms), relay, actor, once (once.lua) or nil
-- returns {'ok', id, created ms, expires ms} {'again', id} it was made before {'other'} (once.lua)
--   {'late'} {'id'} the id is taken {'full'}
local want = cjson.decode(ARGV[1])
local now = clock()
local instead = refused(want, key.code(want.id), key.codes(), now)
if instead then
  return instead
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
