-- Drains a relay, or undrains it: whether placement leaves it out.
-- ARGV    name, on|off, by, from, request
-- returns {'ok'} or {'none'}
local name, draining = ARGV[1], ARGV[2]
local actor = {by = ARGV[3], from = ARGV[4], request = ARGV[5]}
local drain = key.drain(name)
if redis.call('EXISTS', key.relay(name), drain) == 0
  and not redis.call('ZSCORE', key.relays(), name) then
  return {'none'}
end
local before = redis.call('HGET', drain, 'draining') or 'off'
-- What is as it was is written, too: who asks again may not know whether it is confirmed.
redis.call('HSET', drain, 'v', VERSION, 'draining', draining)
if before ~= draining then
  redis.call('HSET', drain, 'since', integer(clock()), 'by', actor.by)
  act(draining == 'on' and 'drain' or 'undrain', '', name, actor, 'tenant', '')
end
return {'ok'}
