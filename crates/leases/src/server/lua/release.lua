-- KEYS: the session's leases, keys by deadline, subscribers by deadline.
-- ARGV: session, user or '', what stands before a record's name, and before that of its places.
local low, high = '-', '+'
if ARGV[2] ~= '' then low, high = '[' .. ARGV[2] .. ':', '(' .. ARGV[2] .. ';' end
local answer = {}
for _, lease in ipairs(call('ZRANGEBYLEX', KEYS[1], low, high)) do
  local user, name = match(lease, '^(%d+):(.*)$')
  local subscriber = user .. '_session_' .. ARGV[1]
  local held, n = remove(ARGV[3] .. name, ARGV[4] .. name, subscriber)
  if held then
    if n == 0 then call('ZREM', KEYS[2], name) end
    answer[#answer + 1] = user
    answer[#answer + 1] = name
    answer[#answer + 1] = n == 0 and '1' or '0'
  end
  call('ZREM', KEYS[1], lease)
  forget(KEYS[1], KEYS[3], user, subscriber)
end
return answer
