-- Notes when a key was last used, and by whom; a later use stays.
-- KEYS: its place. ARGV: microseconds since the epoch, consumer, life in milliseconds.
-- Answers {1} if the key holds something else.

local held = redis.pcall('GET', KEYS[1])
if type(held) == 'table' and held.err then
  if string.find(held.err, '^%-?WRONGTYPE') then return {1} end
  return held
end
if held then
  local at = string.match(held, '^(%d+) %S+$')
  if not at then return {1} end
  if tonumber(at) >= tonumber(ARGV[1]) then return {} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return {}
