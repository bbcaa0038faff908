-- Opens a tunnel: all of its records, or none.
-- KEYS[1] prefix
-- ARGV    id, relay, device, fingerprint, by, ttl ms, cooldown ms, latest start ms, wide|roomy|narrow: the listen space,
--         1 to open even though nothing is known of this relay or 0,
--         blocks, then for each block of the listen space: first address as a number, addresses, low port, ports;
--         then routes, then for each route: name, scheme, service;
--         where others listen as far as the caller knows, as field `taken` of relay:<relay> has it;
--         1 to take names over from other devices or 0, then for each route: 1 if its name was chosen, 0 if it is random
-- returns {'ok', created ms, expires ms, listen address of each route…, for each route new|same|unsure|taken: whose its
--          name was, the last label known of it for each route…}
--         {'held', name, label of the device that had it, until when (ms) that is remembered} {'version', record, v}
--         {'late'} {'name', taken name} {'key', tunnel that has the key} {'id'}
--         {'full', positions tried, those passed over because others listen there}
--         {'unseen', ms since rlyd last saw which addresses are in use} {'lost', ms until addresses may come back}
--         {'restarted'} rlyd has not looked since Redis started {'new'} nothing is known of this relay
local prefix = KEYS[1]
local id, relay, device, fingerprint, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, cooldown, latest = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local DAY = 86400000
local REMEMBERED = 90 * DAY
-- Beyond this many tries a crowded space counts as used up: a script must not hold Redis for long.
local TRIES = 65536
-- Where there is room the space is walked by the clock at least, so that a Redis restored from an old copy repeats nothing.
local wide, narrow = ARGV[9] == 'wide', ARGV[9] == 'narrow'

local at = 11
local blocks, size = {}, 0
for i = 1, tonumber(ARGV[at]) do
  local b = {first = tonumber(ARGV[at + 1]), count = tonumber(ARGV[at + 2]),
             port = tonumber(ARGV[at + 3]), ports = tonumber(ARGV[at + 4])}
  size = size + b.count * b.ports
  blocks[i] = b
  at = at + 4
end
at = at + 1
local routes = {}
for i = 1, tonumber(ARGV[at]) do
  routes[i] = {name = ARGV[at + 1], scheme = ARGV[at + 2], service = ARGV[at + 3]}
  at = at + 3
end
-- Where somebody else listens: whoever asks for the name would meet him, and the device could not listen.
local taken = {}
for where in string.gmatch((redis.call('HGET', prefix .. 'relay:' .. relay, 'taken') or '') .. ' ' .. ARGV[at + 1], '%S+') do
  taken[where] = true
end
at = at + 2
local take_over = ARGV[at] == '1'
for i, r in ipairs(routes) do
  r.chosen = ARGV[at + i] == '1'
end

local function integer(n)
  return string.format('%.0f', n)
end

-- The listen address at a position; or nil, and how far on the next port is, where somebody listens on this one of all
-- addresses.
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
    -- Where the counter goes by the clock it goes on as if it had been here later: one that is lost and goes on from the
    -- clock comes to what was not issued yet.
    return nil, narrow and b.count - position % b.count or b.count
  end
  return string.format('%d.%d.%d.%d:%d', math.floor(ip / 16777216), math.floor(ip / 65536) % 256,
    math.floor(ip / 256) % 256, ip % 256, port)
end

-- First everything that can refuse, then the writes. Who asked has given up by then, and would not know the tunnel.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now > latest then
  return {'late'}
end
if redis.call('EXISTS', prefix .. 'tunnel:' .. id) == 1 then
  return {'id'}
end
local holder = redis.call('HGET', prefix .. 'key:' .. fingerprint, 'tunnel')
if holder then
  return {'key', holder}
end
for _, r in ipairs(routes) do
  if redis.call('EXISTS', prefix .. 'route:' .. r.name) == 1 then
    return {'name', r.name}
  end
end

-- A chosen name may have been another device's: browsers still hold what that one left under it. Device and label are
-- those of the last tunnel and of the last one that had a label. Before there was a was: record, and for a name that was
-- random then, gone: leads to the last tunnel for a day.
local function remembered(name)
  local key = prefix .. 'was:' .. name
  local w = redis.call('HMGET', key, 'v', 'device', 'label', 'owner')
  if w[1] then
    return {key = key, v = w[1], device = w[2] or '', label = w[3] or '', owner = w[4] or ''}
  end
  key = prefix .. 'gone:' .. name
  local tunnel = redis.call('HGET', key, 'tunnel')
  local label = tunnel and redis.call('HGET', prefix .. 'tunnel:' .. tunnel, 'device') or ''
  return tunnel and {key = key, v = '1', device = label, label = label, owner = ''} or nil
end
-- The owner of a name is the tunnel by which it changed hands last. A label that is missing proves nothing: the device
-- counts as the same, unless it has one now and another was known.
for _, r in ipairs(routes) do
  local was = r.chosen and remembered(r.name) or nil
  r.was, r.owner, r.label, r.last = 'new', '', device, ''
  if was then
    if was.v ~= '1' then
      return {'version', was.key, was.v}
    end
    local other = device ~= '' and was.label ~= '' and was.label ~= device
    r.owner, r.last = was.owner, was.label
    if take_over then
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

local expires = now + ttl

-- The counter never goes back: one that was lost goes on from the clock.
local counter = tonumber(redis.call('GET', prefix .. 'next:' .. relay) or '') or now
if not narrow and counter < now then
  counter = now
end
local live = prefix .. 'live:' .. relay
-- Is an address free? Where addresses come back the one that comes back may still be held by a session that nobody
-- has ended, as rlyd was away. Whatever held it lost its slot a cooldown ago or earlier; so if rlyd has seen the listen
-- table since, live: has all that is held. That look may be half a cooldown old: the other half is left to clocks that were
-- put back since, by which what came after it seems to have ended before. Where the clock leads back soon, that is true
-- only of what this very Redis has kept: one that began anew may have an old copy, or nothing, until rlyd has looked at
-- it. A relay that never had an rlyd has no such word.
local seen = wide and {} or redis.call('HMGET', prefix .. 'seen:' .. relay, 'at', 'redis', 'until')
local looked, closed = tonumber(seen[1] or ''), tonumber(seen[3] or '') or 0
if narrow and looked and seen[2] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') then
  return {'restarted'}
elseif narrow and not looked and ARGV[10] ~= '1' and redis.call('EXISTS', prefix .. 'next:' .. relay) == 0 then
  return {'new'}
elseif looked and looked < now - cooldown / 2 then
  return {'unseen', integer(now - looked)}
elseif narrow and closed > now then
  return {'lost', integer(closed - now)}
end
local function free(listen)
  return redis.call('EXISTS', prefix .. 'slot:' .. relay .. ':' .. listen) == 0
    and (wide or redis.call('HEXISTS', live, listen) == 0)
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
  until listen and not taken[listen] and free(listen)
  r.listen = listen
end

redis.call('SET', prefix .. 'next:' .. relay, integer(counter))
local record = {'v', 1, 'id', id, 'device', device, 'relay', relay, 'key', fingerprint, 'created', integer(now),
  'expires', integer(expires), 'state', 'open', 'by', by, 'routes', #routes}
local listens, result = {}, {'ok', integer(now), integer(expires)}
for i, r in ipairs(routes) do
  local n = '.' .. (i - 1)
  for _, v in ipairs({'name' .. n, r.name, 'listen' .. n, r.listen, 'service' .. n, r.service}) do
    record[#record + 1] = v
  end
  listens[i] = r.listen
  result[#result + 1] = r.listen

  redis.call('SET', prefix .. 'slot:' .. relay .. ':' .. r.listen, id, 'PX', integer(ttl + cooldown))
  local gone = prefix .. 'gone:' .. r.name
  redis.call('DEL', gone)
  redis.call('HSET', gone, 'v', 1, 'why', 'expired', 'tunnel', id)
  redis.call('PEXPIREAT', gone, integer(expires + DAY))
  local route = prefix .. 'route:' .. r.name
  redis.call('HSET', route, 'v', 1, 'tunnel', id, 'relay', relay, 'listen', r.listen, 'scheme', r.scheme,
    'expires', integer(expires), 'device', device, 'service', r.service)
  if r.chosen then
    redis.call('HSET', route, 'chosen', 1, 'owner', r.owner)
    local was = prefix .. 'was:' .. r.name
    redis.call('HSET', was, 'v', 1, 'tunnel', id, 'device', device, 'label', r.label, 'owner', r.owner)
    redis.call('PEXPIREAT', was, integer(expires + REMEMBERED))
  end
  redis.call('PEXPIREAT', route, integer(expires))
end
for _, field in ipairs({'was', 'last'}) do
  for _, r in ipairs(routes) do
    result[#result + 1] = r[field]
  end
end
local key = prefix .. 'key:' .. fingerprint
redis.call('HSET', key, 'v', 1, 'tunnel', id, 'relay', relay, 'listen', table.concat(listens, ' '),
  'expires', integer(expires))
redis.call('PEXPIREAT', key, integer(expires))
local ended = prefix .. 'gone:' .. fingerprint
redis.call('DEL', ended)
redis.call('HSET', ended, 'v', 1, 'why', 'expired', 'tunnel', id)
redis.call('PEXPIREAT', ended, integer(expires + DAY))
redis.call('HSET', prefix .. 'tunnel:' .. id, unpack(record))
redis.call('PEXPIREAT', prefix .. 'tunnel:' .. id, integer(expires + DAY))
redis.call('ZADD', prefix .. 'tunnels', integer(expires), id)
redis.call('ZREMRANGEBYSCORE', prefix .. 'tunnels', '-inf', integer(now - DAY))
redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'what', 'open', 'tunnel', id, 'relay', relay,
  'by', by, 'device', device, 'expires', integer(expires))
return result
