-- Forgets what an owner used. What replicas saw before this instant is void from now on, so a value
-- without limits stays behind for longer than any calendar window lasts.

local time = redis.call('TIME')
local epoch = time[1] * 1000000 + time[2]
local value = redis.call('GET', KEYS[1])
if value then
  if #value < 30 or string.byte(value) ~= 1 then
    return redis.error_reply('KEYGATE ' .. KEYS[1] .. ' holds what keygate did not write')
  end
  epoch = math.max(epoch, struct.unpack('>I7', value, 9) + 1)
end
local expiry = math.floor(epoch / 1000) + 32 * 86400000
redis.call('SET', KEYS[1], struct.pack('>BI7I7I6I7H', 1, epoch, epoch, expiry, epoch, 0),
  'PXAT', string.format('%.0f', expiry))
return 1
