-- Who shows a token, and may he ask once more? Requests are counted as if they came evenly: a token
-- that was silent for a minute has a minute's all at once.
-- ARGV    id, SHA-256 of the token, requests a minute (0: no limit). SHA-256 empty: a person, whom
--         httpd has logged in, and who is counted only
-- returns {'ok', role, tenant, label} {'none'} {'slow', ms until the next} {'version', v}
local id, hash, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local MINUTE = 60000
local now, t = clock(), {}
if hash ~= '' then
  t = redis.call('HMGET', key.token(id), 'v', 'hash', 'expires', 'role', 'tenant', 'label')
  -- Lua compares strings by where they are: how much of the two is alike takes no time.
  if not t[1] or t[2] ~= hash or (tonumber(t[3] or '') or 0) <= now then
    return {'none'}
  end
  if t[1] ~= VERSION then
    return {'version', t[1]}
  end
end
if limit > 0 then
  local rate, each = key.rate(id), MINUTE / limit
  local next = math.max(tonumber(redis.call('GET', rate) or '') or 0, now)
  if next + each - now > MINUTE then
    return {'slow', integer(math.ceil(next + each - now - MINUTE))}
  end
  redis.call('SET', rate, string.format('%.3f', next + each), 'PX', 2 * MINUTE)
end
return {'ok', t[4] or '', t[5] or '', t[6] or ''}
