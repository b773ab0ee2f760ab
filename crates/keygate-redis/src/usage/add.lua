-- Adds a batch to the rollups of one consumer, once.
-- KEYS: the marker, buckets. ARGV: replica, sequence, life of the marker in milliseconds; for each
-- bucket its life in milliseconds, how many fields follow, and a field and its three numbers each.
-- Answers the numbers of the keys that hold something else: they are left alone, and so is
-- everything if the marker is one of them. Nothing is written before everything is read.

local unpack = table.unpack or unpack
local match, format, sub = string.match, string.format, string.sub
local THREE = '^(%d+) (%d+) (%d+)$'

-- Decimal numbers of any length; a double holds 15 digits.
local function sum(a, b)
  if #a <= 15 and #b <= 15 then return format('%.0f', a + b) end
  local low = tonumber(sub(a, -15)) + tonumber(sub(b, -15))
  local high = (tonumber(sub(a, 1, -16)) or 0) + (tonumber(sub(b, 1, -16)) or 0)
  if low >= 1e15 then low, high = low - 1e15, high + 1 end
  if high > 0 then return format('%.0f%015.0f', high, low) end
  return format('%.0f', low)
end

local function is_foreign(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, '^%-?WRONGTYPE')
end

local function is_fault(reply)
  return type(reply) == 'table' and reply.err
end

local replica, sequence, life = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local marker = redis.pcall('HGET', KEYS[1], replica)
if is_foreign(marker) then return {1} end
if is_fault(marker) then return marker end
if marker then
  local last = match(marker, '^(%d+) %d+$')
  if not last then return {1} end
  if sequence <= tonumber(last) then return {} end
end

local refused, writes, at = {}, {}, 4
for number = 2, #KEYS do
  local count, fields = tonumber(ARGV[at + 1]), {}
  for n = 1, count do fields[n] = ARGV[at + 4 * n - 2] end
  local held = redis.pcall('HMGET', KEYS[number], unpack(fields))
  local foreign = is_foreign(held)
  if not foreign and is_fault(held) then return held end
  local write = {}
  for n = 1, foreign and 0 or count do
    local place = at + 4 * n - 2
    local requests, cost, latency = ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
    if held[n] then
      local r, c, l = match(held[n], THREE)
      if not r then foreign = true break end
      requests, cost, latency = sum(requests, r), sum(cost, c), sum(latency, l)
    end
    write[2 * n - 1], write[2 * n] = fields[n], requests .. ' ' .. cost .. ' ' .. latency
  end
  if foreign then
    refused[#refused + 1] = number
  else
    writes[#writes + 1] = {KEYS[number], ARGV[at], write}
  end
  at = at + 2 + 4 * count
end

local now = tonumber(redis.call('TIME')[1])
for _, write in ipairs(writes) do
  redis.call('HSET', write[1], unpack(write[3]))
  redis.call('PEXPIRE', write[1], write[2])
end
if not marker then
  -- Replicas come and go: those that were not heard of for so long are forgotten.
  local all = redis.call('HGETALL', KEYS[1])
  for n = 1, #all, 2 do
    local heard = tonumber(match(all[n + 1], '^%d+ (%d+)$') or '')
    if heard and heard < now - life / 1000 then redis.call('HDEL', KEYS[1], all[n]) end
  end
end
redis.call('HSET', KEYS[1], replica, ARGV[2] .. ' ' .. format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], life)
return refused
