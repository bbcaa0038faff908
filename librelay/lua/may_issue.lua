-- May a listen address be issued now, and is this one free? This is told here once. relay_issue.h
-- is C's side of it, seen.lua is rlyd's.
--
-- While rlyd is away a session may outlive its tunnel. An address that came back then would lead to
-- the device that had it before. What can be relied upon depends on the listen space:
--
--   wide    2^32 positions or more. In human time no address comes back: yes, always.
--   roomy   Addresses come back. The counter next: goes with the clock at least, a position a
--           millisecond, so a counter that Redis lost, or has from an old copy, repeats nothing
--           soon.
--   narrow  The clock leads round the space within ten cooldowns. It is no help: what Redis has
--           lost could come back at once.
--
-- A slot lasts a cooldown longer than its tunnel. So an address without a slot was given up a
-- cooldown ago or earlier, and where rlyd has looked at the listen table since and live: has no
-- entry for it, nobody listens there. What rlyd saw stands in seen:
--
--   at      When rlyd looked last; live: then had all that listens. That may be half a cooldown
--           ago. The other half is left to clocks: after one was put back, what ended later than
--           the look seems to have ended before it.
--   redis   Which Redis that was, by its run_id. It counts in a narrow space: a Redis that began
--           anew may have an old copy, or nothing, until rlyd has looked again.
--   until   No address is issued before. It counts in a narrow space: Redis had lost what it knew
--           of the relay, for seen: was gone, or older than rlyd knew it to have been. Nobody knows
--           then which addresses caches and sessions may still have, so a cooldown has to pass.
--
-- A relay that has never had an rlyd has no seen:; there the cooldown alone guards. In a narrow
-- space of which nothing is known, not even the counter, the caller has to wait for rlyd's first
-- word. On a relay without an rlyd none comes; then it insists.

-- want: relay, space (wide|roomy|narrow), cooldown (ms), insist. Returns nil for yes;
-- {'wait', because, ms} where rlyd's word may come in a moment; or {'refused', because, ms}.
-- because is one of:
--   restarted  rlyd has not looked since Redis started
--   new        nothing is known of this relay
--   unseen     rlyd looked last so many ms ago: too long
--   lost       in so many ms addresses may come back
local function may_issue(want, now)
  if want.space == 'wide' then
    return nil
  end
  local narrow, known = want.space == 'narrow', redis.call('EXISTS', key.next(want.relay)) == 1
  local seen = redis.call('HMGET', key.seen(want.relay), 'at', 'redis', 'until')
  local at, closed = tonumber(seen[1] or ''), tonumber(seen[3] or '') or 0
  if narrow and at and seen[2] ~= run_id() then
    return {'wait', 'restarted', '0'}
  elseif narrow and not at and not known and not want.insist then
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

