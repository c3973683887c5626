-- The hand-over of a replica that decided alone while Redis was away: add what it admitted, once, whatever the limits
-- say, and take back what those of its calls had charged here whose answer was lost: it has decided them anew.
-- KEYS: window, marker of this hand-over.
-- ARGV: time in microseconds or '' = Redis's own, @replica, batch (0 for a model's window, which is charged only with
-- the user's), how many lost calls, for each its number and the amount of each unit,
-- then by slot, ascending: the slot and the amount of each unit.  Amounts below zero correct a charge already in the
-- window; one that has left it stays gone.

if call('EXISTS', KEYS[2]) == 1 then return { 0 } end
local key, replica = KEYS[1], ARGV[2]
local window = open(key, clock(ARGV[1]), MINUTE, replica)
if window.expired then call('DEL', key) end
if window.left then call('HDEL', key, unpack(window.left)) end

local newest, changed = window.newest, false

-- Add the amounts from ARGV[first] on, times `sign`.
local function add(slot, first, sign)
  local stored = call('HMGET', key, SLOT_FIELDS)
  if window.slot - slot > window.slots or not (stored[UNIT_COUNT + 1] or sign * ARGV[first] > 0) then return end
  for i = 1, UNIT_COUNT do
    local held = tonumber(stored[UNIT_COUNT + i]) or 0
    local kept = math.max(0, held + sign * ARGV[first + i - 1])
    stored[i], stored[UNIT_COUNT + i] = window.stored[i] + kept - held, kept
    window.stored[i] = stored[i]
  end
  call('HSET', key, SLOT_PAIRS)
  window.oldest, newest = math.min(window.oldest, slot), math.max(newest or slot, slot)
  changed = true
end

local step = 1 + UNIT_COUNT
local first = 5 + step * ARGV[4]
for i = first, #ARGV, step do
  add(math.min(tonumber(ARGV[i]), window.slot), i + 1, 1) -- a replica's clock may run ahead
end
local charged = window.expired and '' or window.marker or ''
for i = 5, first - 1, step do
  local slot = string.match(charged, ' ' .. ARGV[i] .. '@(%d+)')
  if slot then add(tonumber(slot), i + 1, -1) end
end

if window.left and not changed then -- the sums without what has left
  local slot, stored = newest, window.stored
  local held = call('HMGET', key, SLOT_FIELDS)
  for i = UNIT_COUNT + 1, 2 * UNIT_COUNT do stored[i] = tonumber(held[i]) or 0 end
  call('HSET', key, SLOT_PAIRS)
end
if changed or window.left then call('HSET', key, 'newest', newest, 'oldest', window.oldest) end
if ARGV[3] ~= '0' and ARGV[4] ~= '0' then call('HSET', key, replica, ARGV[3]) end -- refuses a lost call that comes late
call('EXPIRE', key, KEEP_S)
call('SET', KEYS[2], 1, 'EX', KEEP_S) -- last: what failed may come again
return { 1 }
