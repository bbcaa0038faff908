-- Ends a tunnel now.
-- KEYS[1] prefix
-- ARGV    id, cooldown ms, by
-- returns {'ok'} {'none'} {'gone', 'closed'|'expired'} {'version', v}
local prefix = KEYS[1]
local id, cooldown, by = ARGV[1], ARGV[2], ARGV[3]

local record = prefix .. 'tunnel:' .. id
if redis.call('EXISTS', record) == 0 then
  return {'none'}
end
local v = redis.call('HGET', record, 'v')
if v ~= '1' then
  return {'version', v or '?'}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local f = redis.call('HMGET', record, 'state', 'expires', 'relay', 'key', 'routes')
if f[1] ~= 'open' then
  return {'gone', f[1] or '?'}
end
if tonumber(f[2]) <= now then
  return {'gone', 'expired'}
end
local relay, fingerprint = f[3], f[4]

-- What another tunnel has taken over in the meantime is not ours to touch.
for i = 0, tonumber(f[5]) - 1 do
  local r = redis.call('HMGET', record, 'name.' .. i, 'listen.' .. i)
  local route, gone = prefix .. 'route:' .. r[1], prefix .. 'gone:' .. r[1]
  local holder = redis.call('HGET', route, 'tunnel')
  if not holder or holder == id then
    redis.call('DEL', route)
    redis.call('HSET', gone, 'v', 1, 'why', 'closed', 'tunnel', id)
    redis.call('PEXPIREAT', gone, string.format('%.0f', tonumber(f[2]) + 86400000))
  end
  local was = prefix .. 'was:' .. r[1]
  if redis.call('HGET', was, 'tunnel') == id then
    redis.call('PEXPIREAT', was, string.format('%.0f', now + 90 * 86400000))
  end
  local slot = prefix .. 'slot:' .. relay .. ':' .. r[2]
  if redis.call('GET', slot) == id then
    redis.call('PEXPIRE', slot, cooldown)
  end
end
local key = prefix .. 'key:' .. fingerprint
if redis.call('HGET', key, 'tunnel') == id then
  redis.call('DEL', key)
  redis.call('HSET', prefix .. 'gone:' .. fingerprint, 'v', 1, 'why', 'closed', 'tunnel', id)
  redis.call('PEXPIREAT', prefix .. 'gone:' .. fingerprint, string.format('%.0f', tonumber(f[2]) + 86400000))
end
redis.call('HSET', record, 'state', 'closed', 'ended', string.format('%.0f', now))
redis.call('ZREM', prefix .. 'tunnels', id)
redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'what', 'close', 'tunnel', id, 'relay', relay,
  'by', by)
return {'ok'}
