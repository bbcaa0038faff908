-- Makes a token.
-- ARGV    one JSON: id, hash (SHA-256 of the token), role, tenant (* for all), label, ttl (ms),
--         latest (start, ms), relay, actor, once (once.lua) or nil
-- returns {'ok', id, created ms, expires ms} {'again', id} it was made before {'other'} (once.lua)
--   {'late'} {'id'} the id is taken {'full'}
local want = cjson.decode(ARGV[1])
local now = clock()
local instead = refused(want, key.token(want.id), key.tokens(), now)
if instead then
  return instead
end
local expires = now + want.ttl
put(key.token(want.id), expires, 'id', want.id, 'hash', want.hash, 'role', want.role,
  'tenant', want.tenant, 'label', want.label, 'created', integer(now), 'expires', integer(expires),
  'by', want.actor.by)
redis.call('ZADD', key.tokens(), integer(expires), want.id)
if want.tenant ~= '*' then
  enter(key.tokens_of(want.tenant), want.id, expires, now)
end
act('token', '', want.relay, want.actor, 'token', want.id, 'expires', integer(expires),
  'tenant', nobody_if_all(want.tenant))
remember(want.once, {'again', want.id}, now)
return {'ok', want.id, integer(now), integer(expires)}
