-- KEYS: keys by deadline, subscribers by deadline.
-- ARGV: time or '', idle, index_ttl, how many to look at, what stands before a record's
-- name, what stands before a session, what stands before the name of a record's places.
-- A deadline says when a record is to be looked at: not after the first of its subscribers
-- can be idle. Heartbeats do not move it; where there were some it is put off here.
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local seconds = math.floor(now / 1000)
local idle = tonumber(ARGV[2])
-- A deadline further off than any can be: the clock went back.
local beyond = string.format('(%d', now + idle + 1000)

local function due(index)
  local names = call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, ARGV[4])
  local most = #names
  for _, name in ipairs(call('ZRANGEBYSCORE', index, beyond, '+inf', 'LIMIT', 0, ARGV[4])) do
    names[#names + 1] = name
  end
  return names, math.max(most, #names - most)
end

local records, most = due(KEYS[1])
local answer = { '' }
for _, name in ipairs(records) do
  local key, places = ARGV[5] .. name, ARGV[7] .. name
  local record = call('GET', key)
  local before, after, body
  if record then before, after, body = split(record) end
  local kept, entries, earliest, changed, first = {}, {}, nil, false, #answer
  if body then
    local pattern = '(\n"(([^"_]+)_session_([^"]+))":{"last_active":)(%d+)([^}]*})'
    for start, subscriber, user, session, active, rest in string.gmatch(sub(record, body), pattern) do
      local at = tonumber(active)
      if at > seconds then
        at, active, changed = seconds, format('%d', seconds), true
      end
      -- Told in whole seconds, cut: never let go too early, at most one too late.
      if (at + 1) * 1000 + idle <= now then
        changed = true
        local leases = ARGV[6] .. session
        call('ZREM', leases, user .. ':' .. name)
        forget(leases, KEYS[2], user, subscriber)
        answer[#answer + 1] = user
        answer[#answer + 1] = session
        answer[#answer + 1] = name
        answer[#answer + 1] = '0'
      else
        earliest = math.min(earliest or at, at)
        kept[#kept + 1], entries[#entries + 1] = subscriber, start .. active .. rest
      end
    end
  end
  if earliest then
    call('ZADD', KEYS[1], (earliest + 1) * 1000 + idle, name)
    if changed then write(key, places, before, after, kept, entries) end
  else
    call('ZREM', KEYS[1], name)
    if body then call('DEL', key, places) end
    if #answer > first then answer[#answer] = '1' end
  end
end

local subscribers, others = due(KEYS[2])
for _, subscriber in ipairs(subscribers) do
  local user, session = match(subscriber, '^(%d+)_session_(.*)$')
  call('ZADD', KEYS[2], now + idle, subscriber)
  forget(ARGV[6] .. session, KEYS[2], user, subscriber)
end
call('PEXPIRE', KEYS[1], ARGV[3])
call('PEXPIRE', KEYS[2], ARGV[3])
answer[1] = tostring(math.max(most, others))
return answer
