-- Stands before each script, rlyd's as well: what they have in common. What the keys hold stands in
-- relay_store.h.
-- KEYS[1] prefix
local prefix = KEYS[1]
-- RELAY_RECORD_VERSION of relay.h, RELAY_EVENTS_KEPT of relay_event.h.
local VERSION, EVENTS_KEPT = '1', 10000
local DAY = 86400000
-- So long after a tunnel's end it is known that it has ended, and whose a chosen name was.
local GONE, REMEMBERED = DAY, 90 * DAY

local key = {
  route = function(name) return prefix .. 'route:' .. name end,
  gone = function(name_or_fingerprint) return prefix .. 'gone:' .. name_or_fingerprint end,
  was = function(name) return prefix .. 'was:' .. name end,
  grant = function(fingerprint) return prefix .. 'key:' .. fingerprint end,
  tunnel = function(id) return prefix .. 'tunnel:' .. id end,
  tunnels = function() return prefix .. 'tunnels' end,
  next = function(relay) return prefix .. 'next:' .. relay end,
  slot = function(relay, listen) return prefix .. 'slot:' .. relay .. ':' .. listen end,
  live = function(relay) return prefix .. 'live:' .. relay end,
  seen = function(relay) return prefix .. 'seen:' .. relay end,
  relay = function(name) return prefix .. 'relay:' .. name end,
  relays = function() return prefix .. 'relays' end,
  drain = function(relay) return prefix .. 'drain:' .. relay end,
  events = function() return prefix .. 'events' end,
  tenant = function(name) return prefix .. 'tenant:' .. name end,
  label = function(tenant, device) return prefix .. 'label:' .. tenant .. ':' .. device end,
  token = function(id) return prefix .. 'token:' .. id end,
  tokens = function() return prefix .. 'tokens' end,
  tokens_of = function(tenant) return prefix .. 'tokens:' .. tenant end,
  code = function(id) return prefix .. 'code:' .. id end,
  codes = function() return prefix .. 'codes' end,
  codes_of = function(tenant) return prefix .. 'codes:' .. tenant end,
  device = function(id) return prefix .. 'device:' .. id end,
  devices = function() return prefix .. 'devices' end,
  devices_of = function(tenant) return prefix .. 'devices:' .. tenant end,
  rate = function(token) return prefix .. 'rate:' .. token end,
  once = function(token, what) return prefix .. 'once:' .. token .. ':' .. what end,
}

-- A number as Redis takes it and answers it: without an exponent.
local function integer(n)
  return string.format('%.0f', n)
end

-- Milliseconds since 1970, by Redis's clock.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Which Redis this is, since it started.
local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end

local function ends_at(record, ms)
  redis.call('PEXPIREAT', record, integer(ms))
end

-- Writes a record whole: what was there before is gone.
local function put(record, ends, ...)
  redis.call('DEL', record)
  redis.call('HSET', record, 'v', VERSION, ...)
  ends_at(record, ends)
end

local function event(what, tunnel, relay, by, ...)
  redis.call('XADD', key.events(), 'MAXLEN', '~', EVENTS_KEPT, '*', 'what', what,
    'tunnel', tunnel, 'relay', relay, 'by', by, ...)
end

-- Whose an event of a token is: that of all tenants is for those who see all.
local function nobody_if_all(tenant)
  return tenant == '*' and '' or tenant
end

-- An event of what somebody asked for: actor has by, and from and request, which are empty where
-- he did not come by the API.
local function act(what, tunnel, relay, actor, ...)
  if actor.request == '' then
    event(what, tunnel, relay, actor.by, ...)
  else
    event(what, tunnel, relay, actor.by, 'from', actor.from, 'request', actor.request, ...)
  end
end

-- Where the ids of a tenant's tunnels stand by their ends: all of them, and those of one device.
local function indexes(tenant, device)
  local found = {}
  if tenant ~= '' then
    found[1] = key.tenant(tenant)
    found[2] = device ~= '' and key.label(tenant, device) or nil
  end
  return found
end

-- An index lives as long as the last of what stands there.
local function enter(index, id, expires, now)
  redis.call('ZADD', index, integer(expires), id)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', integer(now - DAY))
  local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')
  ends_at(index, tonumber(last[2]) + GONE)
end

-- A tunnel that is open: {expires, relay, fingerprint, tenant, device, routes = {{name, listen}…}}.
-- Else nil and what to answer: {'none'}, {'gone', 'closed'|'expired'} or {'version', v}. Another
-- tenant's is none; `*' sees all.
local function open_tunnel(id, now, tenant)
  local record = key.tunnel(id)
  local whose = redis.call('HGET', record, 'tenant') or ''
  if tenant ~= '*' and whose ~= tenant or redis.call('EXISTS', record) == 0 then
    return nil, {'none'}
  end
  local v = redis.call('HGET', record, 'v')
  if v ~= VERSION then
    return nil, {'version', v or '?'}
  end
  local f = redis.call('HMGET', record, 'state', 'expires', 'relay', 'key', 'routes', 'device')
  if f[1] ~= 'open' then
    return nil, {'gone', f[1] or '?'}
  end
  local tunnel = {expires = tonumber(f[2]), relay = f[3], fingerprint = f[4], tenant = whose,
    device = f[6] or '', routes = {}}
  if tunnel.expires <= now then
    return nil, {'gone', 'expired'}
  end
  for i = 0, tonumber(f[5]) - 1 do
    local r = redis.call('HMGET', record, 'name.' .. i, 'listen.' .. i)
    tunnel.routes[i + 1] = {name = r[1], listen = r[2]}
  end
  return tunnel
end

