-- Reads hashes. KEYS: the hashes. Answers their fields and values, or 0 for what is no hash.

local answers = {}
for number = 1, #KEYS do
  local fields = redis.pcall('HGETALL', KEYS[number])
  if type(fields) == 'table' and fields.err then
    if not string.find(fields.err, '^%-?WRONGTYPE') then return fields end
    fields = 0
  end
  answers[number] = fields
end
return answers
