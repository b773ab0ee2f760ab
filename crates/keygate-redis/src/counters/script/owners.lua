-- The usual charge where there is more to it: two owners, a refusal, a value to be written in full.

-- Writes the counters of a usual charge. A value that is new, or is to be kept longer, is written in full.
local function write(now, key, value, request, counters, keep)
  if not keep then return redis.call('SETRANGE', key, '21', counters) end
  local expires = expiry(now, keep)
  local stamp, epoch = struct.unpack('>I7I7', request, 8)
  local listed, rates, count = struct.unpack('BBB', request, 49)
  local rest
  if value then
    rest = string.sub(value, 22 + #counters)
  else
    epoch, rest = now, '\0\0\0\0\0\0\0' .. string.sub(request, 52 + 14 * rates + 8 * count)
  end
  put(key, struct.pack('>I7I7I6B', stamp, epoch, expires, listed) .. counters .. rest, expires)
end

local other_held, other_counters, other_keep, other_ahead = nil, '', nil, nil
if KEYS[2] then
  other_held = redis.call('GET', KEYS[2])
  other_counters, changed, other_keep, other_ahead = usual(now, other_held, ARGV[2], pays)
end
local refused = counters == 'refused' or other_counters == 'refused'
if refused then
  changed = false
  counters = usual(now, held, ARGV[1], false)
  if KEYS[2] then other_counters = usual(now, other_held, ARGV[2], false) end
end
if counters and other_counters then
  if changed then
    write(now, KEYS[1], held, ARGV[1], counters, keep)
    if KEYS[2] then write(now, KEYS[2], other_held, ARGV[2], other_counters, other_keep) end
    if not ahead and not other_ahead then return counters .. other_counters end
  end
  return struct.pack('>BI7', refused and 1 or 2, now) .. counters .. other_counters
end

