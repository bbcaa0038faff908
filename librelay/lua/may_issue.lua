-- May a listen address be issued now, and is this one free? Told here once; C's side of it is relay_issue.h, rlyd's seen.lua.
--
-- While rlyd is away a session may outlive its tunnel. An address that came back then would lead to the device that had it
-- before. What can be relied upon depends on the listen space:
--
--   wide    2^32 positions or more. In human time no address comes back: yes, always.
--   roomy   Addresses come back. The counter next: goes with the clock at least, a position a millisecond, so a counter that
--           Redis lost, or has from an old copy, repeats nothing soon.
--   narrow  The clock leads round the space within ten cooldowns. It is no help: what Redis has lost could come back at once.
--
-- Whatever held an address lost its slot: a cooldown ago or earlier. So where rlyd has looked at the listen table since, an
-- address without a slot and without an entry in live: is nobody's. What rlyd saw stands in seen:
--
--   at      When rlyd looked last; live: then had all that listens. It may be half a cooldown ago. The other half is left to
--           clocks that were put back since, by which what came after that look seems to have ended before it.
--   redis   Which Redis that was, by its run_id. Counts in a narrow space: a Redis that began anew may have an old copy, or
--           nothing, until rlyd has looked again.
--   until   Counts in a narrow space: no address is issued before. Redis had lost what it knew of the relay, for seen: was
--           gone, or older than rlyd knew it to have been. Nobody knows then which addresses caches and sessions may still
--           have, so a cooldown has to pass.
--
-- A relay that has never had an rlyd has no seen:; there the cooldown alone guards. So in a narrow space of which nothing is
-- known, not even the counter, rlyd's first word is waited for, and where none comes the caller may insist.

-- want: relay, space (wide|roomy|narrow), cooldown (ms), insist. Returns nil for yes, else {'wait', because, ms}, where
-- rlyd's word may come in a moment, or {'refused', because, ms}. because:
--   restarted  rlyd has not looked since Redis started
--   new        nothing is known of this relay
--   unseen     rlyd looked last so many ms ago: too long
--   lost       in so many ms addresses may come back
local function may_issue(want, now)
  if want.space == 'wide' then
    return nil
  end
  local narrow = want.space == 'narrow'
  local seen = redis.call('HMGET', key.seen(want.relay), 'at', 'redis', 'until')
  local at, closed = tonumber(seen[1] or ''), tonumber(seen[3] or '') or 0
  if narrow and at and seen[2] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') then
    return {'wait', 'restarted', '0'}
  elseif narrow and not at and not want.insist and redis.call('EXISTS', key.next(want.relay)) == 0 then
    return {'wait', 'new', '0'}
  elseif at and at < now - want.cooldown / 2 then
    return {'wait', 'unseen', integer(now - at)}
  elseif narrow and closed > now then
    return {'refused', 'lost', integer(closed - now)}
  end
  return nil
end

local function is_free(want, listen)
  return redis.call('EXISTS', key.slot(want.relay, listen)) == 0
    and (want.space == 'wide' or redis.call('HEXISTS', key.live(want.relay), listen) == 0)
end

