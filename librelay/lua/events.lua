-- A page of the events that a tenant may see, in their order.
-- ARGV    tenant (* for all), id of the first event that counts ('' for the latest ones), how many
-- returns {'ok', id of the last that was looked at ('' for none), more|end, {id, tenant, field,
--   value…}…}
-- No call looks at more than MOST events: a tenant that has few of them gets them in several pages.
local tenant, first, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local MOST, BATCH = 1000, 200

-- Whose an event is: rlyd's do not say, and neither did those of older versions.
local known = {}
local function tenant_of(fields)
  local f = {}
  for i = 1, #fields, 2 do
    f[fields[i]] = fields[i + 1]
  end
  local tunnel = f.tunnel or ''
  if f.tenant or tunnel == '' then
    return f.tenant or ''
  end
  known[tunnel] = known[tunnel] or redis.call('HGET', key.tunnel(tunnel), 'tenant') or ''
  return known[tunnel]
end

local function seen(entry)
  local whose = tenant_of(entry[2])
  return (tenant == '*' or whose == tenant) and {entry[1], whose, unpack(entry[2])} or nil
end

-- The id that comes next after one.
local function behind(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return ms .. '-' .. integer(tonumber(n) + 1)
end

local result, last, looked, more = {'ok', '', 'end'}, '', 0, false
if first == '' then
  local found = {}
  for _, entry in ipairs(redis.call('XREVRANGE', key.events(), '+', '-', 'COUNT',
    tenant == '*' and count or MOST)) do
    last = last == '' and entry[1] or last
    found[#found + 1] = #found < count and seen(entry) or nil
  end
  for i = #found, 1, -1 do
    result[#result + 1] = found[i]
  end
else
  local at, entries = first, nil
  repeat
    more = false
    entries = redis.call('XRANGE', key.events(), at, '+', 'COUNT', BATCH)
    for i, entry in ipairs(entries) do
      last = entry[1]
      result[#result + 1] = seen(entry)
      more = i < #entries or #entries == BATCH
      if #result == count + 3 then
        break
      end
    end
    looked = looked + #entries
    at = last ~= '' and behind(last) or at
  until #entries < BATCH or #result == count + 3 or looked >= MOST
end
result[2], result[3] = last, more and 'more' or 'end'
return result
