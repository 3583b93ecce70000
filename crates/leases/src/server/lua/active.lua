-- KEYS: keys by deadline.
-- ARGV: what stands before a record's name, symbol or '', timeframe or ''.
local symbol, timeframe = ARGV[2] .. ':', ':' .. ARGV[3] .. ':'
local answer = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if (ARGV[2] == '' or string.sub(name, 1, #symbol) == symbol)
    and (ARGV[3] == '' or string.find(name, timeframe, 1, true)) then
    local record = redis.call('GET', ARGV[1] .. name)
    if record then
      answer[#answer + 1] = name
      answer[#answer + 1] = record
    end
  end
end
return answer
