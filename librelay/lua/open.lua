-- Opens a tunnel: all of its records, or none.
-- ARGV    one JSON (relay_tunnel_open.c writes it):
--           id, relay, device, key (fingerprint), ttl (ms), cooldown (ms), latest (start, ms)
--           actor   who asks: by, from, request; across: he sees all tenants
--           tenant  whose the tunnel is, '' for nobody's; once: once.lua, or nil
--           space   wide, roomy or narrow, and insist: as may_issue.lua has them
--           blocks  of the listen space: first (address as a number), count (of addresses), port
--                   (the lowest), ports
--           routes  name, scheme, service, chosen (false: the name is random)
--           taken   where others listen as far as the caller knows, as the field `taken` of
--                   relay:<relay> has it
--           needs   host, forwarded, upgrade, old_tls: as a route's record has them
--           take_over  names that were another device's, too
-- returns
--   {'ok', id, created ms, expires ms, and for each route: its name…, its listen address…,
--    new|same|unsure|taken: whose its name was…, the last label known of that…}; the same again
--    where it was asked for before, and {'other'} (once.lua)
--   {'late'} Redis began too late
--   {'id'} the id is taken; {'name', NAME} a name is; {'key', ID} the key is that tunnel's, whose
--    id is '' where it is another tenant's
--   {'held', name, label of the device that had it, until when (ms) that is remembered}; or
--    {'foreign', name, until when} where that was another tenant's
--   {'version', record, v} a record is of another version
--   {'full', positions tried, those passed over because others listen there}
--   or as may_issue()
local want = cjson.decode(ARGV[1])
local id, relay, device, routes, blocks = want.id, want.relay, want.device, want.routes, want.blocks
local needs, tenant, across = want.needs, want.tenant, want.actor.across
local narrow = want.space == 'narrow'
-- Beyond this many tries a crowded space counts as used up: a script must not hold Redis for long.
local TRIES = 65536

local size = 0
for _, b in ipairs(blocks) do
  size = size + b.count * b.ports
end
-- Where others listen. A visitor would meet that process, and the device could not listen.
local taken = {}
local told = redis.call('HGET', key.relay(relay), 'taken') or ''
for where in string.gmatch(told .. ' ' .. want.taken, '%S+') do
  taken[where] = true
end

-- The listen address at a position. Where somebody listens on its port of all addresses: nil, and
-- how many positions further the next port begins.
local function address(position)
  local i = 1
  while position >= blocks[i].count * blocks[i].ports do
    position = position - blocks[i].count * blocks[i].ports
    i = i + 1
  end
  local b = blocks[i]
  local ip = b.first + position % b.count
  local port = b.port + math.floor(position / b.count)
  if taken['*:' .. port] then
    -- A counter that goes by the clock goes on with the same address at the next port, as if it had
    -- come here later. So one that is lost, and goes on from the clock, repeats nothing.
    return nil, narrow and b.count - position % b.count or b.count
  end
  return string.format('%d.%d.%d.%d:%d', math.floor(ip / 16777216), math.floor(ip / 65536) % 256,
    math.floor(ip / 256) % 256, ip % 256, port)
end

-- First everything that can refuse, then the writes.
local now = clock()
local before = settled(want, now)
if before then
  return before
end
if redis.call('EXISTS', key.tunnel(id)) == 1 then
  return {'id'}
end
local holder = redis.call('HGET', key.grant(want.key), 'tunnel')
if holder then
  local whose = redis.call('HGET', key.tunnel(holder), 'tenant') or ''
  return {'key', (across or whose == tenant) and holder or ''}
end
for _, r in ipairs(routes) do
  if redis.call('EXISTS', key.route(r.name)) == 1 then
    return {'name', r.name}
  end
end

-- A chosen name may have been another device's: browsers still hold what that one left under it.
-- Device and label are those of the last tunnel and of the last one that had a label. Before there
-- was a was: record, and for a name that was random then, gone: leads to the last tunnel for a day.
local function remembered(name)
  local was, gone = key.was(name), key.gone(name)
  local w = redis.call('HMGET', was, 'v', 'device', 'label', 'owner', 'tenant')
  if w[1] then
    return {key = was, v = w[1], device = w[2] or '', label = w[3] or '', owner = w[4] or '',
      tenant = w[5] or ''}
  end
  local tunnel = redis.call('HGET', gone, 'tunnel')
  if not tunnel then
    return nil
  end
  local record = key.tunnel(tunnel)
  local t = redis.call('HMGET', record, 'device', 'tenant')
  local label = t[1] or ''
  return {key = gone, v = VERSION, device = label, label = label, owner = '', tenant = t[2] or ''}
end
-- The owner of a name is the tunnel by which it changed hands last. A label that is missing proves
-- nothing: the device counts as the same, unless it has one now and another was known.
for _, r in ipairs(routes) do
  local was = r.chosen and remembered(r.name) or nil
  r.was, r.owner, r.label, r.last = 'new', '', device, ''
  if was then
    if was.v ~= VERSION then
      return {'version', was.key, was.v}
    end
    -- The same label in another tenant is another device. Only who sees both takes its name over.
    local foreign = was.tenant ~= tenant
    local other = device ~= '' and was.label ~= '' and was.label ~= device
    r.owner, r.last = was.owner, was.label
    if foreign and not (want.take_over and across) then
      return {'foreign', r.name, integer(now + redis.call('PTTL', was.key))}
    elseif want.take_over then
      r.was = 'taken'
    elseif was.device == '' or device == '' then
      r.was = other and 'taken' or 'unsure'
    elseif not other then
      r.was = 'same'
    else
      return {'held', r.name, was.device, integer(now + redis.call('PTTL', was.key))}
    end
    if r.was == 'taken' then
      r.owner = id
    elseif device == '' then
      r.label = was.label
    end
  end
end

local expires = now + want.ttl

-- The counter never goes back: one that was lost goes on from the clock.
local counter = tonumber(redis.call('GET', key.next(relay)) or '') or now
if not narrow and counter < now then
  counter = now
end
local refusal = may_issue(want, now)
if refusal then
  return refusal
end
local tries, walked, passed = 0, 0, 0
for _, r in ipairs(routes) do
  local listen, on
  repeat
    if tries == TRIES or walked >= size then
      return {'full', tries, integer(passed)}
    end
    tries = tries + 1
    listen, on = address((counter + 1) % size)
    if not listen then
      -- To just before the address that is to be tried next.
      counter, walked, passed = counter + on, walked + on, passed + on
    else
      counter, walked = counter + 1, walked + 1
      if taken[listen] then
        passed = passed + 1
      end
    end
  until listen and not taken[listen] and is_free(want, listen)
  r.listen = listen
end

redis.call('SET', key.next(relay), integer(counter))
local numbered, listens, result = {}, {}, {'ok', id, integer(now), integer(expires)}
for i, r in ipairs(routes) do
  local n = '.' .. (i - 1)
  for _, v in ipairs({'name' .. n, r.name, 'listen' .. n, r.listen, 'service' .. n, r.service}) do
    numbered[#numbered + 1] = v
  end
  listens[i] = r.listen

  redis.call('SET', key.slot(relay, r.listen), id, 'PX', integer(want.ttl + want.cooldown))
  put(key.gone(r.name), expires + GONE, 'why', 'expired', 'tunnel', id)
  local route = key.route(r.name)
  put(route, expires, 'tunnel', id, 'relay', relay, 'listen', r.listen, 'scheme', r.scheme,
    'expires', integer(expires), 'device', device, 'service', r.service, 'generation', 1,
    'host', needs.host, 'forwarded', needs.forwarded, 'upgrade', needs.upgrade,
    'old_tls', needs.old_tls)
  if r.chosen then
    redis.call('HSET', route, 'chosen', 1, 'owner', r.owner)
    put(key.was(r.name), expires + REMEMBERED, 'tunnel', id, 'device', device, 'label', r.label,
      'owner', r.owner, 'tenant', tenant)
  end
end
for _, field in ipairs({'name', 'listen', 'was', 'last'}) do
  for _, r in ipairs(routes) do
    result[#result + 1] = r[field]
  end
end
put(key.grant(want.key), expires, 'tunnel', id, 'relay', relay,
  'listen', table.concat(listens, ' '), 'expires', integer(expires))
put(key.gone(want.key), expires + GONE, 'why', 'expired', 'tunnel', id)
put(key.tunnel(id), expires + GONE, 'id', id, 'device', device, 'relay', relay, 'key', want.key,
  'created', integer(now), 'expires', integer(expires), 'state', 'open', 'by', want.actor.by,
  'tenant', tenant,
  'host', needs.host, 'forwarded', needs.forwarded, 'upgrade', needs.upgrade,
  'old_tls', needs.old_tls,
  'routes', #routes, unpack(numbered))
redis.call('ZADD', key.tunnels(), integer(expires), id)
redis.call('ZREMRANGEBYSCORE', key.tunnels(), '-inf', integer(now - DAY))
for _, index in ipairs(indexes(tenant, device)) do
  enter(index, id, expires, now)
end
act('open', id, relay, want.actor, 'device', device, 'expires', integer(expires), 'tenant', tenant)
remember(want.once, result, now)
return result
