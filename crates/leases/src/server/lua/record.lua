-- A record is one text, and what has a fixed place in it is written in place:
-- {"last_accessed":1770000000,"created_at":1770000000,"ref_count":        2,"ttl":300,...
-- ..."subscribers":{
-- "7_session_a":{"last_active":1770000000,"websocket_id":null},
-- "8_session_b":{"last_active":1770000000,"websocket_id":null}}}
-- `places`, a hash beside it, says where the byte before each entry is, and under '' how long
-- the record was when it was last written as a whole. It has either all subscribers or is
-- not there, and no place is believed: the entry is looked at, and where the two do not agree
-- `rewrite` makes them. (Numbers that are known go as texts: that spares writing them.)
local call, sub, find, match, format = redis.call, string.sub, string.find, string.match, string.format
local ACCESSED, COUNT, HEAD = '17', '64', '72'

local function needle_of(subscriber)
  return '\n"' .. subscriber .. '":{"last_active":'
end

-- How many subscribers there are, the digits of `created_at` and of `last_accessed`; nothing:
-- no record of ours.
local function head(key)
  local accessed, created, count = match(call('GETRANGE', key, '0', HEAD),
    '^{"last_accessed":(%d+),"created_at":(%d+),"ref_count": *(%d+)$')
  return tonumber(count), created, accessed
end

-- What is before the count, after it, and where the entries begin.
local function split(record)
  return match(record, '^({"last_accessed":%d+,"created_at":%d+,"ref_count":) *%d+(,"ttl":%d+,'
    .. '"indicator_id":"[^"]*","symbol":"[^"]*","timeframe":"[^"]*","subscribers":{)()')
end

-- Writes a record as a whole, without blanks.
local function write(key, places, before, after, subscribers, entries)
  local text = before .. format('%9d', #entries) .. after
  local at, fields = #text, { '', 0 }
  for i, entry in ipairs(entries) do
    fields[2 * i + 1], fields[2 * i + 2] = subscribers[i], at - 1
    at = at + #entry + 1
  end
  text = text .. table.concat(entries, ',') .. '}}'
  fields[2] = #text
  call('SET', key, text, 'KEEPTTL')
  call('DEL', places)
  for i = 1, #fields, 1000 do
    call('HSET', places, unpack(fields, i, math.min(i + 999, #fields)))
  end
  call('PEXPIRE', places, math.max(call('PTTL', key), 1))
end

-- Whether it is a record of ours.
local function rewrite(key, places)
  local record = call('GET', key)
  local before, after, body
  if record then before, after, body = split(record) end
  if not body then
    call('DEL', places)
    return false
  end
  local subscribers, entries = {}, {}
  for entry, subscriber in string.gmatch(sub(record, body), '(\n"([^"]+)":{[^}]*})') do
    entries[#entries + 1], subscribers[#subscribers + 1] = entry, subscriber
  end
  write(key, places, before, after, subscribers, entries)
  return true
end

-- Where the byte before a subscriber's entry is, and the text from there to its time and
-- `more` bytes behind.
local function locate(key, places, subscriber, needle, more)
  for _ = 1, 2 do
    local at = call('HGET', places, subscriber)
    if at then
      local text = call('GETRANGE', key, at, at + #needle + 10 + more)
      if sub(text, 2, #needle + 1) == needle then return at, text end
    else
      local count = head(key)
      if not count or call('HLEN', places) == count + 1 then return end
    end
    if not rewrite(key, places) then return end
  end
end

-- Takes the entry of a subscriber out of the record; where a websocket is given, only if the
-- entry names that one or none. Whether it was there, how many there are now, and whether it
-- stays.
local function remove(key, places, subscriber, websocket)
  local needle = needle_of(subscriber)
  local at, text = locate(key, places, subscriber, needle, 100)
  if not at then return false, head(key) or 0 end
  local stop = find(text, '}', #needle, true)
  if not stop then
    text = call('GETRANGE', key, at, '-1')
    stop = find(text, '}', #needle, true)
  end
  if websocket then
    local named = sub(text, #needle + 12 + #',"websocket_id":', stop - 1)
    if named ~= 'null' and named ~= websocket then return true, head(key), true end
  end
  call('HDEL', places, subscriber)
  local count = call('HLEN', places) - 1
  if count == 0 then
    call('DEL', key, places)
    return true, 0
  end
  -- Blanks instead, for what follows would have to be moved; the comma before it goes too.
  if sub(text, 1, 1) == ',' then
    call('SETRANGE', key, at, string.rep(' ', stop))
  else
    call('SETRANGE', key, at + 1, string.rep(' ', stop - 1))
    local behind = at + stop
    local comma = find(call('GETRANGE', key, behind, '-1'), ',', 1, true)
    call('SETRANGE', key, behind + comma - 1, ' ')
  end
  call('SETRANGE', key, COUNT, format('%9d', count))
  return true, count
end

-- Forgets a subscriber that has no lease any more.
local function forget(leases, subscribers, user, subscriber)
  if call('ZCARD', leases) == 0
    or #call('ZRANGEBYLEX', leases, '[' .. user .. ':', '(' .. user .. ';', 'LIMIT', 0, 1) == 0 then
    call('ZREM', subscribers, subscriber)
  end
end
