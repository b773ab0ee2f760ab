-- Notes when consumers last had usage.
-- KEYS: the list. ARGV: the oldest second that is kept, life in milliseconds, then seconds and
-- consumer each. Answers {1} if the key holds something else.

local unpack = table.unpack or unpack

local done = redis.pcall('ZADD', KEYS[1], 'GT', unpack(ARGV, 3))
if type(done) == 'table' and done.err then
  if string.find(done.err, '^%-?WRONGTYPE') then return {1} end
  return done
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {}
