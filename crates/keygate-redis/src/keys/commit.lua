-- KEYS: records, ids, consumers, plans in use, changes.
-- ARGV: channel, how many changes to keep, how many digests a change may name, records as JSON.
-- Answers 1 if they were written, 0 if one conflicts.
local records, ids, consumers, in_use, changes = unpack(KEYS)
local alien = other_kind({'hash', 'zset', 'zset', 'hash', 'stream'})
if alien then return alien end

local writes, digests, seen, held = {}, {}, {}, {}

local function write(...)
  writes[#writes + 1] = {...}
end

local function hold(record, by)
  if record.status ~= 'revoked' then held[record.plan] = (held[record.plan] or 0) + by end
end

local function read(text)
  local sound, record = pcall(cjson.decode, text)
  if sound and type(record) == 'table' and type(record.revision) == 'number'
    and type(record.consumer) == 'string' and type(record.plan) == 'string' then
    return record
  end
end

-- What to answer when this record cannot be written.
local function decide(new, text)
  if seen[new.id] or seen[new.digest] then return 0 end
  seen[new.id], seen[new.digest] = true, true
  local member = new.id .. ' ' .. new.digest
  local named = redis.call('ZRANGE', ids, '[' .. new.id .. ' ', '(' .. new.id .. '!', 'BYLEX')[1]
  local found = redis.call('HGET', records, new.digest)

  if named == member and not found then
    return foreign(records, 'it lacks the record of ' .. new.id .. ', which ' .. ids .. ' names')
  end
  if found then
    local old = read(found)
    if not old then
      return foreign(records, 'no key record where ' .. new.id .. ' looks for one')
    end
    if old.id == new.id and named ~= member then
      return foreign(ids, 'it lacks ' .. new.id .. ', which has a record')
    end
    if named ~= member or new.revision ~= old.revision + 1 then return 0 end
    hold(old, -1)
    if old.consumer ~= new.consumer then
      write('ZREM', consumers, old.consumer .. ' ' .. member)
      write('ZADD', consumers, 0, new.consumer .. ' ' .. member)
    end
  else
    if named or new.revision ~= 0 then return 0 end
    write('ZADD', ids, 0, member)
    write('ZADD', consumers, 0, new.consumer .. ' ' .. member)
  end
  hold(new, 1)
  write('HSET', records, new.digest, text)
  digests[#digests + 1] = new.digest
end

for i = 4, #ARGV do
  local refusal = decide(cjson.decode(ARGV[i]), ARGV[i])
  if refusal then return refusal end
end
for plan, by in pairs(held) do
  if by ~= 0 then
    local count = redis.call('HGET', in_use, plan) or '0'
    if not string.find(count, '^%d+$') then
      return foreign(in_use, 'no number for plan ' .. plan)
    end
    count = count + by
    if count > 0 then
      write('HSET', in_use, plan, string.format('%.0f', count))
    else
      write('HDEL', in_use, plan)
    end
  end
end

-- The two that may still fail come first. Announced and not done does no harm.
local named = #digests > tonumber(ARGV[3]) and '*' or table.concat(digests, ' ')
table.insert(writes, 1, {'XADD', changes, 'MAXLEN', '=', ARGV[2], '*', 'keys', named})
table.insert(writes, 1, {'PUBLISH', ARGV[1], 'keys'})
return carry_out(writes) or 1
