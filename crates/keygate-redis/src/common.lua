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

-- Carries out commands, all or none: what is written is not taken back when a later one fails, so
-- the access list is asked about each before the first. The caller has seen to everything else.
local function carry_out(commands)
  for _, command in ipairs(redis.acl_check_cmd and commands or {}) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM this user may not ' .. command[1] .. ' ' .. command[2])
    end
  end
  for _, command in ipairs(commands) do redis.call(unpack(command)) end
end

