-- Takes a slot of each concurrency together with a charge, all or nothing.
--
-- `charge` is the script of a charge, as a function. The last KEYS are sets of slots, sorted by when their
-- leases end in milliseconds; those before are of the charge, and so are all ARGV but the last. That one is
-- packed, big-endian: how many sets (1) · whether a slot is wanted (1) · milliseconds of a lease (7) · the
-- slot (16) · how many slots each set has (7 each).
--
-- The reply: how many sets (1) · 0 if a slot is not free, 1 if all are, 2 if they were taken (1) · how many
-- each set holds (7 each) · the reply of the charge, if there is any. A charge that finds no slot is only
-- looked at.

local asked = ARGV[#ARGV]
local count, wants, lease, slot, at = struct.unpack('>BBI7c16', asked)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first = #KEYS - count

local free, held = true, {}
for i = 1, count do
  local most
  most, at = struct.unpack('>I7', asked, at)
  held[i] = redis.call('ZCOUNT', KEYS[first + i], string.format('(%.0f', now), '+inf')
  free = free and held[i] < most
end

local takes, reply = wants == 1 and free, ''
if first > 0 then
  local keys, requests = {}, {}
  for i = 1, first do keys[i], requests[i] = KEYS[i], ARGV[i] end
  reply = charge(keys, requests, free)
  if type(reply) ~= 'string' then return reply end
  local verdict = string.byte(reply)
  takes = takes and (verdict == 0 or verdict == 2 or verdict == 6)
end
if takes then
  for i = 1, count do
    local set = KEYS[first + i]
    redis.call('ZREMRANGEBYSCORE', set, '-inf', string.format('%.0f', now))
    redis.call('ZADD', set, string.format('%.0f', now + lease), slot)
    -- Others may hold theirs for longer.
    redis.call('PEXPIRE', set, string.format('%.0f', math.max(lease, redis.call('PTTL', set))))
    held[i] = held[i] + 1
  end
end
local head = struct.pack('>BB', count, takes and 2 or free and 1 or 0)
for i = 1, count do head = head .. struct.pack('>I7', held[i]) end
return head .. reply
