-- KEYS: an index, the records. ARGV: from, to, how many.
-- Answers the members of the index, each followed by the record it names.
local index, records = unpack(KEYS)
local alien = other_kind({'zset', 'hash'})
if alien then return alien end

local answer = {}
local members = redis.call('ZRANGE', index, ARGV[1], ARGV[2], 'BYLEX', 'LIMIT', 0, ARGV[3])
for _, member in ipairs(members) do
  local digest = string.match(member, '%S+$') or ''
  answer[#answer + 1] = member
  answer[#answer + 1] = redis.call('HGET', records, digest)
end
return answer
