-- Add what a replica admitted, settled and gave back alone while Redis was away: once, and whatever the limits say.
-- KEYS: window, marker of this hand-over.
-- ARGV: time in microseconds or '' = Redis's own, then by slot, ascending: the slot and the amount of each unit.
-- Amounts below zero correct a charge that is in the window; one that has left it stays gone.
-- When in its slot a charge was made is not known: the slot counts as charged at its end.

if call('EXISTS', KEYS[2]) == 1 then return { 0 } end
local key = KEYS[1]
local window = open(key, clock(ARGV[1]), MINUTE)

for first = 2, #ARGV, 1 + UNIT_COUNT do
  local slot = math.min(tonumber(ARGV[first]), window.slot) -- a replica's clock may run ahead
  local stored = call('HMGET', key, SLOT_FIELDS)
  if slot >= window.first and (stored[UNIT_COUNT + 1] or tonumber(ARGV[first + 1]) > 0) then
    for i = 1, UNIT_COUNT do
      local held = tonumber(stored[UNIT_COUNT + i]) or 0
      local kept = math.max(0, held + ARGV[first + i])
      window.stored[i] = window.stored[i] + kept - held
      stored[i], stored[UNIT_COUNT + i] = window.stored[i], kept
    end
    if window.expired then call('DEL', key) end
    call('HSET', key, SLOT_PAIRS)
    if window.newest and slot < window.newest then
      call('HDEL', key, 'l' .. slot)
    else
      if window.newest and slot > window.newest then call('HSET', key, 'l' .. window.newest, window.last) end
      window.newest, window.last = slot, math.min(window.now, (slot + 1) * window.slot_us - 1)
    end
    window.oldest = math.min(window.oldest, slot)
    call('HSET', key, 'last', window.last, 'oldest', window.oldest)
    if window.left then call('HDEL', key, unpack(window.left)) end
    window.expired, window.left = false, nil
  end
end

call('EXPIRE', key, KEEP_S)
call('SET', KEYS[2], 1, 'EX', KEEP_S) -- last: what failed may come again
return { 1 }
