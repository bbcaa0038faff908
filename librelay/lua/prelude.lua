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
  events = function() return prefix .. 'events' end,
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

-- A tunnel that is open: {expires, relay, fingerprint, routes = {{name, listen}…}}. Else nil and
-- what to answer: {'none'}, {'gone', 'closed'|'expired'} or {'version', v}.
local function open_tunnel(id, now)
  local record = key.tunnel(id)
  if redis.call('EXISTS', record) == 0 then
    return nil, {'none'}
  end
  local v = redis.call('HGET', record, 'v')
  if v ~= VERSION then
    return nil, {'version', v or '?'}
  end
  local f = redis.call('HMGET', record, 'state', 'expires', 'relay', 'key', 'routes')
  if f[1] ~= 'open' then
    return nil, {'gone', f[1] or '?'}
  end
  local tunnel = {expires = tonumber(f[2]), relay = f[3], fingerprint = f[4], routes = {}}
  if tunnel.expires <= now then
    return nil, {'gone', 'expired'}
  end
  for i = 0, tonumber(f[5]) - 1 do
    local r = redis.call('HMGET', record, 'name.' .. i, 'listen.' .. i)
    tunnel.routes[i + 1] = {name = r[1], listen = r[2]}
  end
  return tunnel
end

