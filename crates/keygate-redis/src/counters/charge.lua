-- Decides and counts one charge over the counters of one or two owners, all or nothing.
--
-- KEYS[n] is an owner and ARGV[n] what is charged there; `format.rs` tells how requests, values and
-- replies are laid out. The arithmetic is that of the `limit` room of the core, in doubles, which
-- hold integers exactly below 2^53.
--
-- Each table, string, call and captured variable below is paid for with every decision, and a string by
-- the byte, for Lua hashes it. The common case makes no detour: the value lists the limits of the charge
-- first, in its order, need not be kept longer, and is written in one piece.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The value with the limits in `names` first, in this order, and then those of others that still say
-- something.
local function align(value, names, now)
  local name_bytes = struct.unpack('>H', value, 29)
  local slot, counters = 31 + name_bytes, {}
  for name in string.gmatch(string.sub(value, 31, 30 + name_bytes), '%Z+%z') do
    counters[name] = string.sub(value, slot, slot + 26)
    slot = slot + 27
  end
  local first, other_names, others = {}, {}, {}
  for name in string.gmatch(names, '%Z+%z') do
    first[#first + 1] = counters[name] or string.rep('\0', 27)
    counters[name] = nil
  end
  for name, counter in pairs(counters) do
    if struct.unpack('>I6', counter, 22) * 1000 > now then
      other_names[#other_names + 1], others[#others + 1] = name, counter
    end
  end
  local all = names .. table.concat(other_names)
  return string.sub(value, 1, 28) .. struct.pack('>H', #all) .. all .. table.concat(first) .. table.concat(others)
end

-- What is to be done about one owner, and its value after that: 'fits' (and until when to keep it, if
-- longer than now), 'refused', 'behind' (the caller has seen more than is held here), 'window' (which
-- limit wants the calendar window of which instant) or 'foreign'. A charge of nothing only 'reads', or
-- 'heals' if more was recalled than is held.
local function weigh(align, now, request, value, pays)
  local read, write = struct.unpack, struct.pack
  local cost, epoch, last, count, names, rule = read('>I7I7I7BHc0', request)
  local recall = rule + 28 * count
  if recall > #request then recall = nil end

  local version, latest, stored, expires, reset, all_bytes = 1, 0, 0, 0, 0, #names
  local all_names, life = names, nil
  if value then
    if #value < 30 then return 'foreign' end
    version, latest, stored, expires, reset, all_bytes = read('>BI7I7I6I7H', value)
    local room = #value - 30 - all_bytes
    if version ~= 1 or room < 0 or room % 27 ~= 0 then return 'foreign' end
    if string.find(value, names, 31, true) ~= 31 then
      value = align(value, names, now)
      all_bytes = read('>H', value, 29)
    end
    if all_bytes > #names then all_names = string.sub(value, 31, 30 + all_bytes) end
    life = stored
  else
    value = string.rep('\0', 30 + all_bytes + 27 * count)
    life = math.max(now, epoch + 1)
  end
  local does = 'reads'
  if epoch ~= stored or latest < last then
    if epoch > 0 and not recall then return 'behind' end
    if epoch < reset then
      recall = nil
    elseif epoch >= stored then
      life = math.max(now, epoch + 1)
    end
    if recall then does = 'heals' end
  end

  if latest < last and recall then latest = last end
  if not pays then cost = 0 end
  if cost > 0 then
    does = 'fits'
    -- Later than the last one, whatever the clock says: it is what tells charges apart.
    if latest < now then latest = now else latest = latest + 1 end
  end
  local slot, keep_all, refused = 31 + all_bytes, 0, false
  -- What is to be written. Room for three limits is made at once.
  local field, fields = 8, {1, latest, life, expires, reset, all_bytes, all_names,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  for i = 1, count do
    local pace, unit, capacity, turn
    pace, unit, capacity, turn, rule = read('>I7I7I7I7', request, rule)
    local at, level, held = read('>I7I7I7', value, slot)
    local seen_at, seen_level, keep = 0, 0, 0
    if recall then
      seen_at, seen_level, recall = read('>I7I7', request, recall)
    end
    slot = slot + 27

    if pace > 0 then
      -- A rate: what was used has been flowing back.
      if level > 0 then
        if held ~= unit then
          local part = level % held
          level = (level - part) / held * unit + math.min(part, unit)
        end
        if level > capacity then level = capacity end
        if now > at then
          local span = now - at
          if span > level / pace then level = 0 else level = level - span * pace end
        end
      end
      if seen_level > 0 then
        local span = math.max(now - seen_at, 0)
        seen_level = math.min(seen_level, capacity)
        if span <= seen_level / pace then level = math.max(level, seen_level - span * pace) end
        at = math.max(at, seen_at)
      end
      if at < now then at = now end
      level = level + cost * unit
      keep = (at + level / pace) / 1000 + 1
    else
      -- A quota: its window begins at `unit` and ends at `turn`.
      if at < unit then level = 0 end
      if seen_at >= unit and seen_level > level then level = seen_level end
      if at < seen_at then at = seen_at end
      if at < now then at = now end
      if at < unit or at >= turn then return 'window', i, at end
      level = level + cost
      keep = turn / 1000 + 300000
    end
    if level > capacity and cost > 0 then refused = true end
    if keep > keep_all then keep_all = keep end
    fields[field], fields[field + 1], fields[field + 2], fields[field + 3] = at, level, unit, keep
    field = field + 4
  end
  if refused then return 'refused' end
  local expiry
  if keep_all > expires then
    -- Up to a minute longer than needed, so that not every charge has to move the expiry.
    expiry = math.floor(keep_all + math.min(keep_all - now / 1000, 60000))
    fields[4] = expiry
  end
  -- A head, and a counter for each limit; a plan has 16 at most.
  local layout = '>BI7I7I6I7Hc0I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6I7I7I7I6'
  local written = write(string.sub(layout, 1, 13 + 8 * count), unpack(fields))
  if slot <= #value then written = written .. string.sub(value, slot) end
  if expiry then written = align(written, names, now) end
  return does, written, expiry, latest
end

local held = redis.call('GET', KEYS[1])
local does, value, expiry, latest = weigh(align, now, ARGV[1], held, true)
if does == 'fits' and not expiry and latest == now and not KEYS[2] then
  redis.call('SET', KEYS[1], value, 'KEEPTTL')
  return value
end

local function put(key, value, expiry)
  if expiry then
    redis.call('SET', key, value, 'PXAT', string.format('%.0f', expiry))
  else
    redis.call('SET', key, value, 'KEEPTTL')
  end
end

local other_held, other_does, other_value, other_expiry = nil, does, '', nil
if KEYS[2] then
  other_held = redis.call('GET', KEYS[2])
  other_does, other_value, other_expiry = weigh(align, now, ARGV[2], other_held, true)
end
if does == 'foreign' or other_does == 'foreign' then
  local key = does == 'foreign' and KEYS[1] or KEYS[2]
  return redis.error_reply('KEYGATE ' .. key .. ' holds what keygate did not write')
end
if does == 'behind' or other_does == 'behind' then return struct.pack('>BI7', 2, now) end
if does == 'window' then return struct.pack('>BI7BBI7', 3, now, 1, value, expiry) end
if other_does == 'window' then return struct.pack('>BI7BBI7', 3, now, 2, other_value, other_expiry) end
if does == 'fits' and other_does == 'fits' then
  put(KEYS[1], value, expiry)
  if KEYS[2] then put(KEYS[2], other_value, other_expiry) end
  return struct.pack('>BI7', 4, now) .. value .. other_value
end
if does == 'refused' or other_does == 'refused' then
  does, value, expiry = weigh(align, now, ARGV[1], held, false)
  if KEYS[2] then
    other_does, other_value, other_expiry = weigh(align, now, ARGV[2], other_held, false)
  end
end
-- What was recalled is kept even if nothing is charged: the next caller may not have seen it.
if does == 'heals' then put(KEYS[1], value, expiry) end
if KEYS[2] and other_does == 'heals' then put(KEYS[2], other_value, other_expiry) end
return struct.pack('>BI7', 0, now) .. value .. other_value
