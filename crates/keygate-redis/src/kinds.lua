-- An answer that says that a key of ours holds what we did not write.
local function foreign(key, what)
  return redis.error_reply('KEYGATE Redis key `' .. key .. '`: ' .. what)
end

-- Such an answer when one of KEYS is of another type than we write; nothing when all is well.
local function other_kind(kinds)
  for i, kind in ipairs(kinds) do
    local found = redis.call('TYPE', KEYS[i])['ok']
    if found ~= 'none' and found ~= kind then
      return foreign(KEYS[i], 'a ' .. found .. ', where keygate keeps a ' .. kind)
    end
  end
end

