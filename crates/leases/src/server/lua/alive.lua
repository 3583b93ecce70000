-- KEYS: records. ARGV: a subscriber for each, then what stands before the name of a record's
-- places, and how many characters before that of the record.
local answer = {}
local places, before = ARGV[#KEYS + 1], ARGV[#KEYS + 2] + 1
for i = 1, #KEYS do
  local needle = '\n"' .. ARGV[i] .. '":{"last_active":'
  local at = redis.call('HGET', places .. string.sub(KEYS[i], before), ARGV[i])
  local held = at and redis.call('GETRANGE', KEYS[i], at + 1, at + #needle) == needle
  if not held then
    -- No place is believed, and none that is lacking either.
    local record = redis.call('GET', KEYS[i])
    held = record and string.find(record, needle, 1, true)
  end
  answer[i] = held and 1 or 0
end
return answer
