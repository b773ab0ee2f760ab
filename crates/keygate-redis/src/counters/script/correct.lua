-- Corrects what was charged at one owner, once it is known what the request weighed.
--
-- KEYS[1] is the owner and ARGV[1] a request as for a charge, whose cost is what is corrected: taken as well
-- if ARGV[2] is 'extra', given back if it is 'refund', ARGV[3] microseconds after it was charged. That was
-- said at ARGV[4], by our clock as the caller knows it. The reply is empty, or the verdict of a charge that
-- wants another window.

local exact = 2 ^ 53 - 1

-- More was used. What a full bucket cannot hold is owed: nothing flows back until that has.
local function exceed(limit, units)
  local weight = math.min(units, math.floor(exact / limit.unit)) * limit.unit
  local room = limit.capacity - limit.level
  if weight <= room then
    limit.level = limit.level + weight
  else
    limit.level = limit.capacity
    limit.at = math.min(limit.at + math.ceil((weight - room) / limit.pace), exact)
  end
end

-- Less was used. A debt is repaid first, and what flowed back since is not given back again. Only a full
-- bucket may be in debt: otherwise the clock stepped back.
local function refund(now, limit, units, after)
  local weight = math.min(units, math.floor(exact / limit.unit)) * limit.unit
  local left = math.max(weight - after * limit.pace, 0)
  if limit.level >= limit.capacity then
    local repaid = math.min(math.floor(left / limit.pace), limit.at - now)
    limit.at, left = limit.at - repaid, left - repaid * limit.pace
    if limit.at > now then return end
  end
  limit.level = math.max(limit.level - left, 0)
end

-- A rate as it is now. What another plan has put in beyond the capacity stays in, as far as that is exact in
-- parts of the unit of now.
local function widened(now, old, limit)
  local drained = math.max(now - old.at, 0) * limit.pace
  limit.at, limit.level = math.max(old.at, now), math.min(math.max(backlog(old, limit) - drained, 0), exact)
  limit.capacity = math.max(limit.capacity, limit.level)
end

local value, takes = redis.call('GET', KEYS[1]), ARGV[2] == 'extra'
local after = ARGV[3] + math.max(now - ARGV[4], 0)
local held, charge = opened(value), asked(ARGV[1])
if not held then return redis.error_reply('KEYGATE ' .. KEYS[1] .. ' holds what keygate did not write') end
-- Of what is not there nothing can be given back.
if not value and not takes then return '' end

-- What is not changed is left alone: by a rule that was edited since, it may mean nothing any more.
local keep, changed = 0, {}
for i, limit in ipairs(charge.limits) do
  local old, changes = held.named[limit.name] or limit, true
  if limit.pace then
    widened(now, old, limit)
    if takes then exceed(limit, charge.cost) else refund(now, limit, charge.cost, after) end
  else
    turned(now, old, limit)
    if limit.at < limit.unit or limit.at >= limit.flow then
      return struct.pack('>BI7BBI7', 4, now, 1, i, limit.at)
    end
    if takes then
      limit.level = math.min(limit.level + charge.cost, exact)
    elseif limit.unit <= now - after and limit.level > 0 then
      limit.level = math.max(limit.level - charge.cost, 0)
    else
      changes = false
    end
  end
  if changes then
    changed[#changed + 1] = limit
    keep = math.max(keep, kept(limit))
  end
end
if #changed == 0 then return '' end
charge.limits = changed
if not value then held.epoch = now end
held.charges = held.charges + 1
enlist(now, held, charge)
local written, expires = closed(now, held, keep)
put(KEYS[1], written, expires)
return ''
