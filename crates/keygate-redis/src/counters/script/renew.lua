-- Keeps slots: KEYS[1] is a set, ARGV[1] the milliseconds of a lease, and the rest are slots that are
-- still held. One that Redis has lost is held again.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = string.format('%.0f', now + ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(ARGV[1], redis.call('PTTL', KEYS[1]))))
