-- KEYS: plans, changes. ARGV: channel, how many changes to keep, the revision expected or '', text.
-- Answers 1, the revision made and the time in microseconds; or 0 and the revision found.
local plans, changes = unpack(KEYS)
local alien = other_kind({'hash', 'stream'})
if alien then return alien end

local stored = redis.call('HGET', plans, 'revision')
if stored and not string.find(stored, '^%d+$') then
  return foreign(plans, 'no number in field `revision`')
end
if (stored or '') ~= ARGV[3] then return {0, stored, false} end

local time = redis.call('TIME')
local applied = string.format('%.0f', time[1] * 1000000 + time[2])
local revision = string.format('%.0f', (stored or 0) + 1)
return carry_out({
  {'PUBLISH', ARGV[1], 'plans'},
  {'XADD', changes, 'MAXLEN', '=', ARGV[2], '*', 'plans', revision},
  {'HSET', plans, 'text', ARGV[4], 'revision', revision, 'applied', applied},
}) or {1, revision, applied}
