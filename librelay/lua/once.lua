-- What is asked for again under the same Idempotency-Key happens once (relay_once.h).
-- once: nil, or owner (a token's id), key and request (SHA-256 of what was asked).

-- What was answered the first time; {'other'} where something else was asked then; nil where it is
-- the first time.
local function answered(once)
  if not once then
    return nil
  end
  local record = key.once(once.owner, once.key)
  local first = redis.call('HMGET', record, 'request', 'answer')
  if not first[1] then
    return nil
  end
  -- The caller may not know whether the first time is confirmed. A replica that has this has that.
  -- Redis 8 waits (WAIT) for no more than the connection wrote, Redis 7 for all that was written.
  redis.call('HSET', record, 'again', 1)
  return first[1] == once.request and cjson.decode(first[2]) or {'other'}
end

-- What to answer instead of doing it: {'late'}, since the caller has given up and would never learn
-- of it, or as answered(). nil where it is to be done.
local function settled(want, now)
  if now > want.latest then
    return {'late'}
  end
  return answered(want.once)
end

-- @param answer a list of strings
local function remember(once, answer, now)
  if once then
    put(key.once(once.owner, once.key), now + DAY, 'request', once.request,
      'answer', cjson.encode(answer))
  end
end
