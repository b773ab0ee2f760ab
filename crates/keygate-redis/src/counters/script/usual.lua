-- Decides and counts one charge over the counters of one or two owners, all or nothing.
--
-- KEYS[n] is an owner and ARGV[n] what is charged there; `format.rs` tells how requests, values and
-- replies are laid out, and `scripts.rs` of which files the script is made. Charges of nothing only look: those
-- that weigh nothing, and all unless `pays`. The arithmetic is that of the `limit` room of the core, in doubles, which
-- hold integers exactly below 2^53.
--
-- Each table, string, call and captured variable is paid for with every decision, and a string by the
-- byte, for Lua hashes it. So the usual charge comes first, and makes only what it must: the caller knows
-- which limits the value lists, and the numbers alone are read, decided, written and told. All else is
-- done by the functions of the other files, which are not even made before.

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
    -- Not the sum: beyond 2^53 it may be rounded down to the capacity.
    if cost > 0 and cost * unit > capacity - level then return 'refused' end
    level = level + cost * unit
    held[place], held[place + 1] = at, level
    if pace then
      local drained = (at + level / pace) / 1000 + 1
      if drained > keep then keep = drained end
    end
  end
  if cost > 0 and held[4] < 2 ^ 48 - 256 then held[4] = held[4] + (cost < 256 and cost or 256) end
  if keep <= held[3] then keep = nil end
  local counters = struct.pack(
    string.sub('>I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7I7',
      1, 3 + 4 * listed), unpack(held, 4, 4 + 2 * listed))
  return counters, cost > 0, keep, ahead
end

local held = redis.call('GET', KEYS[1])
local counters, changed, keep, ahead = usual(now, held, ARGV[1], pays)
if changed and not keep and not ahead and not KEYS[2] then
  redis.call('SETRANGE', KEYS[1], '21', counters)
  return counters
end

