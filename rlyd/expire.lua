-- Takes tunnels whose time is over off the list, and records that; of several relays each tunnel meets one.
-- KEYS[1] prefix
-- ARGV    who asks
-- returns how many
local prefix = KEYS[1]
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local ids = redis.call('ZRANGEBYSCORE', prefix .. 'tunnels', '-inf', now, 'LIMIT', 0, 200)
for _, id in ipairs(ids) do
  redis.call('ZREM', prefix .. 'tunnels', id)
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', 10000, '*', 'what', 'expire', 'tunnel', id,
    'relay', redis.call('HGET', prefix .. 'tunnel:' .. id, 'relay') or '', 'by', ARGV[1])
end
return #ids
