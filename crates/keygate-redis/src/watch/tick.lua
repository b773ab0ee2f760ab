-- KEYS: changes, plans, replicas.
-- ARGV: position, stamp of the plans, replica ('' for who looks on), for how many seconds a replica
-- counts unheard of.
-- Answers position, what changed, stamp, the plans if they did, how many replicas there are.
-- A position is the id of a change; '' before the first.
local changes, plans, replicas = unpack(KEYS)
local known, stamp, replica, lifetime = unpack(ARGV)
local alien = other_kind({'stream', 'hash', 'zset'})
if alien then return alien end

local newest = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)[1]
local position = newest and newest[1] or ''
local changed = {}
-- Only a log that holds what was seen last holds everything since. One that was cut, emptied, or
-- belongs to a history that went another way does not: then anything may have changed.
if position ~= known and (known == '' or #redis.call('XRANGE', changes, known, known) == 0) then
  changed = {'*'}
elseif position ~= known then
  for _, change in ipairs(redis.call('XRANGE', changes, '(' .. known, '+')) do
    for i = 1, #change[2], 2 do
      if change[2][i] == 'keys' then changed[#changed + 1] = change[2][i + 1] end
    end
  end
end

local stored = redis.call('HMGET', plans, 'revision', 'applied', 'text')
local latest = (stored[1] or '') .. '@' .. (stored[2] or '')
if latest == stamp then stored = false end

local now = redis.call('TIME')[1]
local beat = replica ~= '' and redis.pcall('ZADD', replicas, now, replica)
-- Without memory for it, whoever looks must see changes all the same.
if type(beat) == 'table' and beat.err then
  if not string.find(beat.err, 'OOM', 1, true) then return beat end
  return {position, changed, latest, stored, false}
end
redis.call('ZREMRANGEBYSCORE', replicas, '-inf', '(' .. now - lifetime)
redis.call('EXPIRE', replicas, lifetime)
return {position, changed, latest, stored, redis.call('ZCARD', replicas)}
