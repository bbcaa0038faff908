-- What an admin makes, tokens and enrolment codes, is refused in the same cases.

-- So that token_revoke.lua, which looks at each, does not hold Redis for long.
local MOST = 10000

-- @param record what is to be made; all: where those of its kind stand by their ends
-- @return what to answer instead of making it, or nil
local function refused(want, record, all, now)
  local before = settled(want, now)
  if before then
    return before
  end
  redis.call('ZREMRANGEBYSCORE', all, '-inf', integer(now))
  if redis.call('EXISTS', record) == 1 then
    return {'id'}
  elseif redis.call('ZCARD', all) >= MOST then
    return {'full'}
  end
end
