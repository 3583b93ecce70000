-- KEYS: records. ARGV: a subscriber for each.
local answer = {}
for i = 1, #KEYS do
  local record = redis.call('GET', KEYS[i])
  local held = record and string.find(record, '\n"' .. ARGV[i] .. '":{"last_active":', 1, true)
  answer[i] = held and 1 or 0
end
return answer
