-- Correct what a slot of windows holds, and what was spent in the periods of budgets.
-- KEYS: the windows of one slot, then the periods.
-- ARGV: slot, how many windows, then of each request its id and for each unit what to add.
-- A slot that left but is still stored may change: its next reader subtracts the changed figure.

local windows, changes = tonumber(ARGV[2]), {}
for first = 3, #ARGV, 1 + COST do
  if settles(KEYS[1], ARGV[first]) then
    for i = 1, COST do changes[i] = (changes[i] or 0) + ARGV[first + i] end
  end
end
if not changes[1] then return { 1 } end
for i, unit in ipairs(UNIT_NAMES) do
  if changes[i] ~= 0 then
    for k = 1, windows do correct(KEYS[k], string.sub(unit, 1, 1) .. ARGV[1], changes[i], unit) end
  end
end
for k = windows + 1, #KEYS do
  correct(KEYS[k], 'tokens', changes[TOKENS])
  correct(KEYS[k], 'cost', changes[COST])
end
return { 1 }
