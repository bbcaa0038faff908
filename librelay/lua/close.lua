-- Ends a tunnel now.
-- ARGV    id, cooldown ms, tenant (* for all), by, from, request
-- returns {'ok'} or as open_tunnel()
local id, cooldown, tenant = ARGV[1], ARGV[2], ARGV[3]
local actor = {by = ARGV[4], from = ARGV[5], request = ARGV[6]}
local now = clock()
local tunnel, refusal = open_tunnel(id, now, tenant)
if not tunnel then
  -- Who says it again may do so because it was not confirmed: there has to be a write to wait for.
  if refusal[2] == 'closed' then
    redis.call('HSET', key.tunnel(id), 'state', 'closed')
  end
  return refusal
end

-- What another tunnel has taken over in the meantime is not ours to touch.
for _, r in ipairs(tunnel.routes) do
  local route, was, slot = key.route(r.name), key.was(r.name), key.slot(tunnel.relay, r.listen)
  local holder = redis.call('HGET', route, 'tunnel')
  if not holder or holder == id then
    redis.call('DEL', route)
    put(key.gone(r.name), tunnel.expires + GONE, 'why', 'closed', 'tunnel', id)
  end
  if redis.call('HGET', was, 'tunnel') == id then
    ends_at(was, now + REMEMBERED)
  end
  if redis.call('GET', slot) == id then
    redis.call('PEXPIRE', slot, cooldown)
  end
end
local grant = key.grant(tunnel.fingerprint)
if redis.call('HGET', grant, 'tunnel') == id then
  redis.call('DEL', grant)
  put(key.gone(tunnel.fingerprint), tunnel.expires + GONE, 'why', 'closed', 'tunnel', id)
end
redis.call('HSET', key.tunnel(id), 'state', 'closed', 'ended', integer(now))
redis.call('ZREM', key.tunnels(), id)
for _, index in ipairs(indexes(tunnel.tenant, tunnel.device)) do
  redis.call('ZREM', index, id)
end
act('close', id, tunnel.relay, actor, 'tenant', tunnel.tenant)
return {'ok'}
