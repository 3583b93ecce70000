-- Subscribes, heartbeats, unsubscribes and leaves, as many as came together.
-- KEYS: keys by deadline, subscribers by deadline; then for each its session's leases and
-- its records.
-- ARGV: time or '', key_ttl, idle, index_ttl, ttl, characters before a record's name, what
-- stands before the name of its places; then for each what it is, its subscriber, its user,
-- how many records; for a subscribe also its websocket in JSON or '' and what of each record
-- stands between its ttl and its subscribers; for a leave its websocket in JSON.
local floor = math.floor
local now = tonumber(ARGV[1])
local given = now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end
local at_seconds = floor(now / 1000)
local seconds, minute = format('%d', at_seconds), floor(at_seconds / 60)
local key_ttl, index_ttl, before = ARGV[2], ARGV[4], ARGV[6] + 1
local deadline = format('%d', now + ARGV[3])
local keys, subscribers = KEYS[1], KEYS[2]
local answer, key_at, arg_at = {}, 3, 8

-- Expiries are renewed once a minute, for each costs as much as a write. Of a clock that is
-- not Redis' own nobody knows how long a minute is.
local function is_due(heard)
  return given or floor(heard / 60) ~= minute
end

local function index(set, member)
  -- A new index has no end yet. Whoever has a connection renews that of an old one.
  if call('ZADD', set, 'NX', deadline, member) == 1 and call('ZCARD', set) == 1 then
    call('PEXPIRE', set, index_ttl)
  end
end

local function renew(key, places)
  call('PEXPIRE', key, key_ttl)
  call('PEXPIRE', places, key_ttl)
  index(keys, sub(key, before))
end

-- Where the entry is, if it is; it is heard of now. And whether its expiries were renewed.
local function hear(key, places, subscriber, needle)
  local at, text = locate(key, places, subscriber, needle, 0)
  if not at then return end
  local heard = sub(text, #needle + 2)
  if heard == seconds and not given then return at, false end
  call('SETRANGE', key, at + #needle + 1, seconds)
  call('SETRANGE', key, ACCESSED, seconds)
  local due = is_due(heard)
  if due then renew(key, places) end
  return at, due
end

-- Puts another websocket into an entry.
local function connect(key, places, at, needle, websocket)
  local from = at + #needle + 11 + #',"websocket_id":'
  local rest = call('GETRANGE', key, from, '-1')
  local stop = find(rest, '}', 1, true)
  if stop - 1 == #websocket then
    call('SETRANGE', key, from, websocket)
  else
    call('SETRANGE', key, from, websocket .. sub(rest, stop) .. string.rep(' ', stop - 1 - #websocket))
    rewrite(key, places)
  end
end

-- Whether that is the record's first subscriber, and how many there are.
local function subscribe(key, places, subscriber, needle, websocket, after)
  local count, created, accessed = head(key)
  local length = count and call('STRLEN', key)
  local added = count and call('HSETNX', places, subscriber, length - 2) == 1
  if added and call('HLEN', places) ~= count + 2 then
    -- Not all were there, perhaps not even this one.
    count = rewrite(key, places) and head(key)
    length = call('STRLEN', key)
    added = count and call('HSETNX', places, subscriber, length - 2) == 1
  end
  if count and not added then
    local at = hear(key, places, subscriber, needle)
    if at then
      if websocket ~= '' then connect(key, places, at, needle, websocket) end
      return 0, count
    end
    -- There was a place and no entry. The places have been made anew, or no record is there.
    count = head(key)
    length = call('STRLEN', key)
    added = count and call('HSETNX', places, subscriber, length - 2) == 1
  end
  local entry = needle .. seconds .. ',"websocket_id":' .. (websocket == '' and 'null' or websocket) .. '}'
  if not added then
    local text = '{"last_accessed":' .. seconds .. ',"created_at":' .. seconds
      .. ',"ref_count":        1,"ttl":' .. ARGV[5] .. after
    call('SET', key, text .. entry .. '}}', 'PX', key_ttl)
    call('DEL', places)
    call('HSET', places, '', #text + #entry + 2, subscriber, #text - 1)
    call('PEXPIRE', places, key_ttl)
    call('ZADD', keys, deadline, sub(key, before))
    if call('ZCARD', keys) == 1 then call('PEXPIRE', keys, index_ttl) end
    return 1, 1
  end
  count = count + 1
  call('SETRANGE', key, length - 2, ',' .. entry .. '}}')
  call('SETRANGE', key, ACCESSED,
    seconds .. ',"created_at":' .. created .. ',"ref_count":' .. format('%9d', count))
  if is_due(accessed) then renew(key, places) end
  if length > 2 * count * #entry + 1024 and length > 2 * call('HGET', places, '') + 1024 then
    -- More than half of it may be blanks.
    rewrite(key, places)
  end
  return 0, count
end

while arg_at <= #ARGV do
  local what, subscriber, user, many = ARGV[arg_at], ARGV[arg_at + 1], ARGV[arg_at + 2], ARGV[arg_at + 3]
  local leases, first = KEYS[key_at], key_at + 1
  local last = key_at + many
  local needle = needle_of(subscriber)
  key_at, arg_at = last + 1, arg_at + 4

  if what == 'h' then
    local renewed = false
    for i = first, last do
      local key = KEYS[i]
      local at, due = hear(key, ARGV[7] .. sub(key, before), subscriber, needle)
      renewed = renewed or due
      answer[#answer + 1] = at and 1 or 0
    end
    if renewed then call('PEXPIRE', leases, key_ttl) end

  elseif what == 's' then
    local websocket = ARGV[arg_at]
    local named = false
    for i = first, last do
      local key = KEYS[i]
      local name = sub(key, before)
      arg_at = arg_at + 1
      local is_new, n = subscribe(key, ARGV[7] .. name, subscriber, needle, websocket, ARGV[arg_at])
      if call('ZADD', leases, '0', user .. ':' .. name) == 1 then named = true end
      answer[#answer + 1] = is_new
      answer[#answer + 1] = n
    end
    arg_at = arg_at + 1
    call('PEXPIRE', leases, key_ttl)
    if named then index(subscribers, subscriber) end

  else
    local websocket
    if what == 'l' then websocket, arg_at = ARGV[arg_at], arg_at + 1 end
    for i = first, last do
      local name = sub(KEYS[i], before)
      local held, n, stays = remove(KEYS[i], ARGV[7] .. name, subscriber, websocket)
      if held and n == 0 then call('ZREM', keys, name) end
      if not stays then call('ZREM', leases, user .. ':' .. name) end
      answer[#answer + 1] = held and 1 or 0
      answer[#answer + 1] = n
    end
    forget(leases, subscribers, user, subscriber)
  end
end
return answer
