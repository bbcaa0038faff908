-- The relays, as their rlyds tell of them, and which of them are drained.
-- ARGV    name of one, or '' for all
-- returns {'ok', {name, heard ms ('' for never), draining on|off, since ms, by, v, ssh, load,
--   sessions, versions}…}; what is not known is ''. One that was never heard of is not there.
local only = ARGV[1]
-- There are dozens.
local MOST = 1000
local names = only ~= '' and {only} or redis.call('ZRANGE', key.relays(), 0, MOST - 1)
table.sort(names)
local result = {'ok'}
for _, name in ipairs(names) do
  local heard = redis.call('ZSCORE', key.relays(), name)
  local r = redis.call('HMGET', key.relay(name), 'v', 'ssh', 'load', 'sessions', 'versions')
  local d = redis.call('HMGET', key.drain(name), 'draining', 'since', 'by')
  if heard or r[1] then
    local row = {name, heard and integer(tonumber(heard)) or '', d[1] or 'off', d[2] or '',
      d[3] or ''}
    for i = 1, 5 do
      row[5 + i] = r[i] or ''
    end
    result[#result + 1] = row
  end
end
return result
