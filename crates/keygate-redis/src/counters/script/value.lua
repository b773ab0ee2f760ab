-- A value, taken apart and put together again.

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
  -- A byte tells how many there are. What does not fit is what was put in longest ago.
  for i = 1, math.min(#others, 255 - #held.limits) do held.limits[#held.limits + 1] = others[i] end
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

-- What a rate's counter held at its instant, in parts of its unit of now.
local function backlog(old, limit)
  local level = old.level
  if level > 0 and old.unit ~= limit.unit then
    local part = level % old.unit
    level = (level - part) / old.unit * limit.unit + math.min(part, limit.unit)
  end
  return level
end

-- What a rate's counter says under its rule of now, and at which instant.
local function flowed(now, old, limit)
  local level = backlog(old, limit)
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

