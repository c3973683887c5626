-- Correct what a slot holds, never below zero; do nothing when the slot is gone.
-- KEYS: the window, or several of one slot.
-- ARGV: slot, then of each request its id and for each unit what to add.  A request's correction is made once, whoever
-- brings it; without an id ('') each time.
-- A slot that left but is still stored may change: its next reader subtracts the changed figure.

local call, changes = redis.call, {}
for first = 2, #ARGV, 1 + UNIT_COUNT do
  if ARGV[first] == '' or call('SET', KEYS[1] .. ':settled:' .. ARGV[first], 1, 'NX', 'EX', KEEP_S) then
    for i = 1, UNIT_COUNT do changes[i] = (changes[i] or 0) + ARGV[first + i] end
  end
end
for i, unit in ipairs(UNIT_NAMES) do
  if (changes[i] or 0) ~= 0 then
    local field = string.sub(unit, 1, 1) .. ARGV[1]
    for _, key in ipairs(KEYS) do
      local stored = call('HMGET', key, unit, field)
      local held = tonumber(stored[2])
      if held then
        local settled = math.max(0, held + changes[i])
        call('HSET', key, unit, stored[1] + settled - held, field, settled)
      end
    end
  end
end
return { 1 }
