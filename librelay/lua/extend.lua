-- Sets the end of an open tunnel to ttl from now; never makes it shorter.
-- KEYS[1] prefix
-- ARGV    id, ttl ms, cooldown ms, by, latest start ms
-- returns {'ok', expires ms} {'late'} {'none'} {'gone', 'closed'|'expired'} {'version', v} {'shorter', ms it still has}
local prefix = KEYS[1]
local id, ttl, cooldown, by, latest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

local function integer(n)
  return string.format('%.0f', n)
end

-- Who asked has given up by then; the end would move from a later now.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now > latest then
  return {'late'}
end

local record = prefix .. 'tunnel:' .. id
if redis.call('EXISTS', record) == 0 then
  return {'none'}
end
local v = redis.call('HGET', record, 'v')
if v ~= '1' then
  return {'version', v or '?'}
end
local f = redis.call('HMGET', record, 'state', 'expires', 'relay', 'key', 'routes')
if f[1] ~= 'open' then
  return {'gone', f[1] or '?'}
end
if tonumber(f[2]) <= now then
  return {'gone', 'expired'}
end
local expires = now + ttl
if expires < tonumber(f[2]) then
  return {'shorter', integer(tonumber(f[2]) - now)}
end
-- When the clock was put back a tunnel that had ended may seem open again: but once Redis has removed its grant or a route
-- (each as it comes across it) its visitors were told that it is gone, and its device may no longer log in.
local key = prefix .. 'key:' .. f[4]
local whole = redis.call('HGET', key, 'tunnel') == id
for i = 0, tonumber(f[5]) - 1 do
  local name = redis.call('HGET', record, 'name.' .. i)
  whole = whole and redis.call('HGET', prefix .. 'route:' .. name, 'tunnel') == id
end
if not whole then
  return {'gone', 'expired'}
end

for i = 0, tonumber(f[5]) - 1 do
  local r = redis.call('HMGET', record, 'name.' .. i, 'listen.' .. i)
  local route = prefix .. 'route:' .. r[1]
  redis.call('HSET', route, 'expires', integer(expires))
  redis.call('PEXPIREAT', route, integer(expires))
  redis.call('PEXPIREAT', prefix .. 'gone:' .. r[1], integer(expires + 86400000))
  local was = prefix .. 'was:' .. r[1]
  if redis.call('HGET', was, 'tunnel') == id then
    redis.call('PEXPIREAT', was, integer(expires + 90 * 86400000))
  end
  local slot = prefix .. 'slot:' .. f[3] .. ':' .. r[2]
  if redis.call('GET', slot) == id then
    redis.call('PEXPIREAT', slot, integer(expires + cooldown))
  end
end
redis.call('HSET', key, 'expires', integer(expires))
redis.call('PEXPIREAT', key, integer(expires))
redis.call('PEXPIREAT', prefix .. 'gone:' .. f[4], integer(expires + 86400000))
redis.call('HSET', record, 'expires', integer(expires))
redis.call('PEXPIREAT', record, integer(expires + 86400000))
redis.call('ZADD', prefix .. 'tunnels', integer(expires), id)
redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'what', 'extend', 'tunnel', id, 'relay', f[3],
  'by', by, 'expires', integer(expires))
return {'ok', integer(expires)}
