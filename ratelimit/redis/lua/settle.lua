-- Correct what a slot holds, never below zero; do nothing when the slot is gone.
-- KEYS: the window, or several of one slot.  ARGV: slot, then for each unit that changes its name and what to add.
-- A slot that left but is still stored may change: its next reader subtracts the changed figure.

for _, key in ipairs(KEYS) do
  for i = 2, #ARGV, 2 do
    local unit, field = ARGV[i], string.sub(ARGV[i], 1, 1) .. ARGV[1]
    local stored = redis.call('HMGET', key, unit, field)
    local held = tonumber(stored[2])
    if held then
      local settled = math.max(0, held + ARGV[i + 1])
      redis.call('HSET', key, unit, stored[1] + settled - held, field, settled)
    end
  end
end
return { 1 }
