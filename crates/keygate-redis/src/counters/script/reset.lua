-- Forgets what an owner used. What replicas saw before this instant is void from now on, so a value
-- without limits stays behind for longer than any calendar window lasts.

local time = redis.call('TIME')
local epoch = time[1] * 1000000 + time[2]
local value = redis.call('GET', KEYS[1])
if value then
  if #value < 37 or string.byte(value) ~= 1 then
    return redis.error_reply('KEYGATE ' .. KEYS[1] .. ' holds what keygate did not write')
  end
  epoch = math.max(epoch, struct.unpack('>I7', value, 8) + 1)
end
local expires = math.floor(epoch / 1000) + 32 * 86400000
-- It counts as a charge, for replicas remember only what was ever charged.
redis.call('SET', KEYS[1], struct.pack('>I7I7I6BI7I7H', 2 ^ 48, epoch, expires, 0, 1, epoch, 0),
  'PXAT', string.format('%.0f', expires))
return 1
