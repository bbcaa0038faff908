-- Sets the end of an open tunnel to ttl from now; never makes it shorter.
-- ARGV    id, ttl ms, cooldown ms, latest start ms, tenant (* for all), by, from, request
-- returns {'ok', expires ms} {'late'} {'shorter', ms it still has} or as open_tunnel()
local id, ttl, cooldown = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local latest, tenant = tonumber(ARGV[4]), ARGV[5]
local actor = {by = ARGV[6], from = ARGV[7], request = ARGV[8]}

-- Past `latest` the caller has given up, and ttl would count from a later time than it meant.
local now = clock()
if now > latest then
  return {'late'}
end
local tunnel, refusal = open_tunnel(id, now, tenant)
if not tunnel then
  return refusal
end
local expires = now + ttl
if expires < tunnel.expires then
  return {'shorter', integer(tunnel.expires - now)}
end
-- When the clock was put back, a tunnel that had ended may seem open again. But Redis removes its
-- grant and its routes, each as it comes across it. Once one of them is gone, visitors were told
-- that the tunnel has ended, or its device may no longer log in.
local grant = key.grant(tunnel.fingerprint)
local whole = redis.call('HGET', grant, 'tunnel') == id
for _, r in ipairs(tunnel.routes) do
  local route = key.route(r.name)
  whole = whole and redis.call('HGET', route, 'tunnel') == id
end
if not whole then
  return {'gone', 'expired'}
end

for _, r in ipairs(tunnel.routes) do
  local route, was, slot = key.route(r.name), key.was(r.name), key.slot(tunnel.relay, r.listen)
  redis.call('HSET', route, 'expires', integer(expires))
  ends_at(route, expires)
  ends_at(key.gone(r.name), expires + GONE)
  if redis.call('HGET', was, 'tunnel') == id then
    ends_at(was, expires + REMEMBERED)
  end
  if redis.call('GET', slot) == id then
    ends_at(slot, expires + cooldown)
  end
end
redis.call('HSET', grant, 'expires', integer(expires))
ends_at(grant, expires)
ends_at(key.gone(tunnel.fingerprint), expires + GONE)
local record = key.tunnel(id)
redis.call('HSET', record, 'expires', integer(expires))
ends_at(record, expires + GONE)
redis.call('ZADD', key.tunnels(), integer(expires), id)
for _, index in ipairs(indexes(tunnel.tenant, tunnel.device)) do
  enter(index, id, expires, now)
end
act('extend', id, tunnel.relay, actor, 'expires', integer(expires), 'tenant', tunnel.tenant)
return {'ok', integer(expires)}
