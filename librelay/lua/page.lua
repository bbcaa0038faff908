-- A page of the open tunnels, of tokens or codes, by their ends; or of devices, the oldest first.
-- ARGV    what, tenant (* for all), device ('' for any; of one tenant), and where the
--         last page ended: expires (ms), id ('' for the first page); how many
-- returns {'ok', more|end, the last one's place (expires, or created), its id, the ids…}
-- However many there are, it takes as many steps as their number has digits.
local what, tenant, device = ARGV[1], ARGV[2], ARGV[3]
local at, id, count = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local index
if what == 'tokens' then
  index = tenant == '*' and key.tokens() or key.tokens_of(tenant)
elseif what == 'codes' then
  index = tenant == '*' and key.codes() or key.codes_of(tenant)
elseif what == 'devices' then
  index = tenant == '*' and key.devices() or key.devices_of(tenant)
elseif device ~= '' then
  index = key.label(tenant, device)
else
  index = tenant == '*' and key.tunnels() or key.tenant(tenant)
end

-- What stands before this is not looked at: what has ended. Devices have no end.
local now = what == 'devices' and -1 or clock()
local first
if id == '' or at <= now then
  first = redis.call('ZCOUNT', index, '-inf', integer(now))
else
  -- Those that end at the same time stand by their ids: the first behind the last page's.
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. integer(at))
  local high = low + redis.call('ZCOUNT', index, integer(at), integer(at))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', index, middle, middle)[1] > id then
      high = middle
    else
      low = middle + 1
    end
  end
  first = low
end
local found = redis.call('ZRANGE', index, first, first + count, 'WITHSCORES')
local n = math.min(#found / 2, count)
local result = {'ok', #found / 2 > count and 'more' or 'end', '', ''}
for i = 1, n do
  result[4 + i] = found[2 * i - 1]
end
if n > 0 then
  result[3], result[4] = integer(tonumber(found[2 * n])), found[2 * n - 1]
end
return result
