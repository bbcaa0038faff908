-- What is asked for again under the same Idempotency-Key happens once (relay_once.h).
-- once: nil, or owner (a token's id), key and request (SHA-256 of what was asked).

-- What was answered the first time; {'other'} where something else was asked then; nil where it is
-- the first time.
local function answered(once)
  if not once then
    return nil
  end
  local first = redis.call('HMGET', key.once(once.owner, once.key), 'request', 'answer')
  if not first[1] then
    return nil
  end
  return first[1] == once.request and cjson.decode(first[2]) or {'other'}
end

-- @param answer a list of strings
local function remember(once, answer, now)
  if once then
    put(key.once(once.owner, once.key), now + DAY, 'request', once.request,
      'answer', cjson.encode(answer))
  end
end

