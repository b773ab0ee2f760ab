-- Reads hashes. KEYS: the hashes. Answers their fields and values, or 0 for what is no hash; only
-- for the first of them, if those are long: nobody else is served meanwhile.

local answers, read = {}, 0
for number = 1, #KEYS do
  local fields = redis.pcall('HGETALL', KEYS[number])
  if type(fields) == 'table' and fields.err then
    if not string.find(fields.err, '^%-?WRONGTYPE') then return fields end
    fields = 0
  else
    read = read + #fields / 2
  end
  answers[number] = fields
  if read >= 2000 then break end
end
return answers
