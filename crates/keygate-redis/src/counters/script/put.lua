-- When a value expires that must be kept for so long. Up to a minute later, so that not every charge has to
-- move the expiry.
local function expiry(now, keep)
  return math.floor(keep + math.min(keep - now / 1000, 60000))
end

local function put(key, value, expires)
  if expires then
    redis.call('SET', key, value, 'PXAT', string.format('%.0f', expires))
  else
    redis.call('SET', key, value, 'KEEPTTL')
  end
end

