-- Decides and counts one charge over the counters of one or two owners, all or nothing.
--
-- KEYS[n] is an owner and ARGV[n] what is charged there; `format.rs` tells how requests, values and
-- replies are laid out. The arithmetic is that of the `limit` room of the core, in doubles, which
-- hold integers exactly below 2^53.
--
-- Each table, string, call and captured variable is paid for with every decision, and a string by the
-- byte, for Lua hashes it. So the usual charge comes first, and makes only what it must: the caller knows
-- which limits the value lists, and the numbers alone are read, decided, written and told. All else is
-- done by the functions further down, which are not even made before.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- What one owner's counters are after a usual charge, whether they have changed, until when to keep the
-- value if longer than now, and whether one of them is ahead of now, after a clock stepped back. 'refused'
-- if the charge does not fit; nothing if it is not usual.
local function usual(now, value, request, pays)
  local read = struct.unpack
  local stamp, epoch, seen, turn, keep, cost, listed, rates, count, rule = read('>I7I7I7I7I6I7BBB', request, 8)
  local held
  if value then
    if #value < 28 + 14 * listed then return end
    -- As many counters as are listed: the caller knows that there is room for 20.
    held = {read(string.sub('>I7I7I6xI7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7',
      1, 10 + 4 * listed), value)}
  else
    if now < read('>I7', request) then return end
    held = {stamp, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
    for i = 12, 4 + 2 * listed do held[i] = 0 end
  end
  if held[1] ~= stamp or held[2] ~= epoch or held[4] < seen or now >= turn then return end
  if not pays then cost = 0 end
  local ahead = false
  for i = 1, count do
    local place, pace, unit, capacity
    if i <= rates then
      place, pace, unit, capacity, rule = read('>BI7I7I7', request, rule)
    else
      place, capacity, rule = read('>BI7', request, rule)
      unit = 1
    end
    local at, level = held[place], held[place + 1]
    if pace then
      -- What was used has been flowing back.
      if level > capacity then level = capacity end
      if at < now then level = level - (now - at) * pace end
      if level < 0 then level = 0 end
    end
    if at < now then at = now elseif at > now then ahead = true end
    level = level + cost * unit
    if level > capacity and cost > 0 then return 'refused' end
    held[place], held[place + 1] = at, level
    if pace then
      local drained = (at + level / pace) / 1000 + 1
      if drained > keep then keep = drained end
    end
  end
  if cost > 0 then held[4] = held[4] + 1 end
  if keep <= held[3] then keep = nil end
  local counters = struct.pack(
    string.sub('>I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7',
      1, 3 + 4 * listed), unpack(held, 4, 4 + 2 * listed))
  return counters, cost > 0, keep, ahead
end

local held = redis.call('GET', KEYS[1])
local counters, changed, keep, ahead = usual(now, held, ARGV[1], true)
if changed and not keep and not ahead and not KEYS[2] then
  redis.call('SETRANGE', KEYS[1], '21', counters)
  return counters
end

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
  other_counters, changed, other_keep, other_ahead = usual(now, other_held, ARGV[2], true)
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

-- From here on everything else: limits and windows that are new to a value, what a replica has not seen
-- yet, or has seen and Redis has lost.

-- Limits as requests and values list them, from `place` on, and where the list ends.
local function list(text, place)
  if #text < place + 1 then return end
  local rule = place + 2 + struct.unpack('>H', text, place)
  local limits = {}
  for name in string.gmatch(string.sub(text, place + 2, rule - 1), '%Z+%z') do
    if #text < rule + 13 then return end
    local limit = {name = name, unit = 0, flow = 0, at = 0, level = 0, pace = false, capacity = 0, seen = false}
    limit.unit, limit.flow, rule = struct.unpack('>I7I7', text, rule)
    limits[#limits + 1] = limit
  end
  return limits, rule
end

-- A request, taken apart: with the limits' capacities, and what was seen of them if that is recalled.
local function asked(request)
  local read, charge = struct.unpack, {}
  local listed, rates, count, rule, place
  charge.stamp, charge.epoch, charge.seen, charge.turn, charge.keep, charge.cost, listed, rates, count, rule =
    read('>I7I7I7I7I6I7BBB', request, 8)
  local limits, recalled = list(request, rule + 14 * rates + 8 * count)
  charge.limits, charge.recalls = limits, recalled <= #request
  for i, limit in ipairs(limits) do
    if i <= rates then
      place, limit.pace, limit.unit, limit.capacity, rule = read('>BI7I7I7', request, rule)
    else
      place, limit.capacity, rule = read('>BI7', request, rule)
    end
    if charge.recalls then
      limit.seen = {}
      limit.seen.at, limit.seen.level, recalled = read('>I7I7', request, recalled)
    end
  end
  return charge
end

-- A value, taken apart: its limits with their counters, and the same by name. Nothing if it is not ours.
local function opened(value)
  if not value then return {stamp = 0, epoch = 0, expires = 0, charges = 0, reset = 0, limits = {}, named = {}} end
  if #value < 37 then return end
  local read, held, listed, ends = struct.unpack, {named = {}}, nil, nil
  held.stamp, held.epoch, held.expires, listed, held.charges = read('>I7I7I6BI7', value)
  local rest = 29 + 14 * listed
  if math.floor(held.stamp / 2 ^ 48) ~= 1 or #value < rest + 8 then return end
  held.reset = read('>I7', value, rest)
  held.limits, ends = list(value, rest + 7)
  if not held.limits or #held.limits ~= listed or #value ~= ends - 1 then return end
  for i, limit in ipairs(held.limits) do
    limit.at, limit.level = read('>I7I7', value, 15 + 14 * i)
    held.named[limit.name] = limit
  end
  return held
end

-- Until when a counter says something, in milliseconds.
local function kept(limit)
  if string.sub(limit.name, 1, 1) == 'r' then return (limit.at + limit.level / limit.flow) / 1000 + 1 end
  return limit.flow / 1000 + 300000
end

-- Puts the limits of a charge in place of those of their names. A list that has them all under the rules of
-- now stays as it is, for replicas know it by its stamp; else what says nothing any more is left out.
local function enlist(now, held, charge)
  local others, stays = {}, true
  for _, limit in ipairs(charge.limits) do
    local old = held.named[limit.name]
    stays = stays and old and old.unit == limit.unit and old.flow == limit.flow
    held.named[limit.name] = limit
  end
  for i, old in ipairs(held.limits) do
    local limit = held.named[old.name]
    held.limits[i] = limit
    if limit == old and kept(limit) * 1000 > now then others[#others + 1] = limit end
  end
  if stays then return end
  held.limits, held.stamp = charge.limits, nil
  for _, limit in ipairs(others) do held.limits[#held.limits + 1] = limit end
end

-- The value that says this, and when it expires if later than now.
local function closed(now, held, keep)
  local write, expires = struct.pack, nil
  if keep > held.expires then expires = expiry(now, keep) end
  local names, rules, counters = {}, {}, {}
  for i, limit in ipairs(held.limits) do
    names[i], rules[i] = limit.name, write('>I7I7', limit.unit, limit.flow)
    counters[i] = write('>I7I7', limit.at, limit.level)
  end
  names = table.concat(names)
  local listed = write('>H', #names) .. names .. table.concat(rules)
  if not held.stamp then
    held.stamp = 2 ^ 48 + tonumber(string.sub(redis.sha1hex(listed), 1, 12), 16)
  end
  return write('>I7I7I6BI7', held.stamp, held.epoch, expires or held.expires, #held.limits, held.charges)
    .. table.concat(counters) .. write('>I7', held.reset) .. listed, expires
end

-- What a rate's counter says under its rule of now, in parts of its unit of now, and at which instant.
local function flowed(now, old, limit)
  local level = old.level
  if level > 0 and old.unit ~= limit.unit then
    local part = level % old.unit
    level = (level - part) / old.unit * limit.unit + math.min(part, limit.unit)
  end
  local function drained(counter, level)
    return math.max(0, math.min(level, limit.capacity) - math.max(now - counter.at, 0) * limit.pace)
  end
  limit.at, limit.level = math.max(old.at, now), drained(old, level)
  if limit.seen then
    limit.at = math.max(limit.at, limit.seen.at)
    limit.level = math.max(limit.level, drained(limit.seen, limit.seen.level))
  end
end

-- What a quota's counter says in the window asked for, and at which instant: that of its last charge, if
-- the clock has stepped back since.
local function turned(now, old, limit)
  limit.at, limit.level = math.max(old.at, now), old.at < limit.unit and 0 or old.level
  if limit.seen then
    limit.at = math.max(limit.at, limit.seen.at)
    if limit.seen.at >= limit.unit then limit.level = math.max(limit.level, limit.seen.level) end
  end
end

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
  if cost > 0 then does, held.charges = 'fits', held.charges + 1 end
  for i, limit in ipairs(charge.limits) do
    local old = held.named[limit.name] or limit
    if limit.pace then
      flowed(now, old, limit)
      limit.level = limit.level + cost * limit.unit
    else
      turned(now, old, limit)
      if limit.at < limit.unit or limit.at >= limit.flow then return 'window', i, limit.at end
      limit.level = limit.level + cost
    end
    if limit.level > limit.capacity and cost > 0 then does = 'refused' end
    keep = math.max(keep, kept(limit))
  end
  if does == 'refused' then return does end
  enlist(now, held, charge)
  return does, closed(now, held, keep)
end

-- Decides over all owners, writes what has changed, and tells it.
local does, value, expires = weigh(now, held, ARGV[1], true)
local other_does, other_value, other_expires = does, '', nil
if KEYS[2] then other_does, other_value, other_expires = weigh(now, other_held, ARGV[2], true) end
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
