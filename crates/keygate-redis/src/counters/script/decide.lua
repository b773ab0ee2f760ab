-- Decides whatever is not usual: limits and windows that are new to a value, what a replica has not seen yet,
-- or has seen and Redis has lost.

-- Sees to it that a value knows of no fewer charges than the caller has seen, and which life of it this is.
-- 'behind' if what was seen is needed for that, 'heals' if it is used, 'reads' if it is not needed.
local function relive(now, held, charge)
  local epoch, stored = charge.epoch, held.epoch
  local does, recalls = 'reads', charge.recalls
  if stored == 0 then held.epoch = math.max(now, epoch + 1) end
  if epoch ~= stored or held.charges < charge.seen then
    if epoch > 0 and not recalls then return 'behind' end
    if epoch < held.reset then
      recalls = false
    elseif epoch >= stored then
      held.epoch = math.max(now, epoch + 1)
    end
    if recalls then does = 'heals' end
  end
  if recalls then
    held.charges = math.max(held.charges, charge.seen)
  else
    for _, limit in ipairs(charge.limits) do limit.seen = false end
  end
  return does
end

-- What is to be done about one owner, its value after that, and when that expires if later than now:
-- 'fits', 'refused', 'behind' (the caller has seen more than is held here), 'window' (which limit wants the
-- calendar window of which instant) or 'foreign'. A charge of nothing only 'reads', or 'heals' if more was
-- recalled than is held.
local function weigh(now, value, request, pays)
  local held, charge = opened(value), asked(request)
  if not held then return 'foreign' end
  local does, keep = relive(now, held, charge), 0
  if does == 'behind' then return does end
  local cost = pays and charge.cost or 0
  if cost > 0 then
    does = 'fits'
    if held.charges < 2 ^ 48 - 256 then held.charges = held.charges + math.min(cost, 256) end
  end
  for i, limit in ipairs(charge.limits) do
    local old = held.named[limit.name] or limit
    if limit.pace then
      flowed(now, old, limit)
    else
      turned(now, old, limit)
      if limit.at < limit.unit or limit.at >= limit.flow then return 'window', i, limit.at end
    end
    local weight = cost * (limit.pace and limit.unit or 1)
    if cost > 0 and weight > limit.capacity - limit.level then does = 'refused' end
    limit.level = limit.level + weight
    keep = math.max(keep, kept(limit))
  end
  if does == 'refused' then return does end
  enlist(now, held, charge)
  return does, closed(now, held, keep)
end

-- Decides over all owners, writes what has changed, and tells it.
local does, value, expires = weigh(now, held, ARGV[1], pays)
local other_does, other_value, other_expires = does, '', nil
if KEYS[2] then other_does, other_value, other_expires = weigh(now, other_held, ARGV[2], pays) end
if does == 'foreign' or other_does == 'foreign' then
  local key = does == 'foreign' and KEYS[1] or KEYS[2]
  return redis.error_reply('KEYGATE ' .. key .. ' holds what keygate did not write')
end
if does == 'behind' or other_does == 'behind' then return struct.pack('>BI7', 3, now) end
if does == 'window' then return struct.pack('>BI7BBI7', 4, now, 1, value, expires) end
if other_does == 'window' then return struct.pack('>BI7BBI7', 4, now, 2, other_value, other_expires) end
refused = does == 'refused' or other_does == 'refused'
if refused then
  does, value, expires = weigh(now, held, ARGV[1], false)
  if KEYS[2] then other_does, other_value, other_expires = weigh(now, other_held, ARGV[2], false) end
end
-- What was recalled is kept even if nothing is charged: the next caller may not have seen it.
if does == 'fits' or does == 'heals' then put(KEYS[1], value, expires) end
if KEYS[2] and (other_does == 'fits' or other_does == 'heals') then put(KEYS[2], other_value, other_expires) end
return struct.pack('>BI7', refused and 5 or 6, now) .. value .. other_value
