-- Add what a replica spent alone while Redis was away to the days and months of a level's budgets, once.
-- KEYS: marker of this hand-over, then of each day its period and that of its month.
-- ARGV: of each day the tokens and the cost; below zero, they correct what was spent.

local call = redis.call
if call('EXISTS', KEYS[1]) == 1 then return { 0 } end
for k = 2, #KEYS do
  local first = 2 * math.floor(k / 2) - 1
  for i, field in ipairs({ 'tokens', 'cost' }) do
    local spent = tonumber(call('HGET', KEYS[k], field)) or 0
    call('HSET', KEYS[k], field, math.max(0, spent + ARGV[first + i - 1]))
  end
  if call('TTL', KEYS[k]) < 0 then call('EXPIRE', KEYS[k], LONGEST_MONTH_S + BUDGET_KEEP_S) end
end
call('SET', KEYS[1], 1, 'EX', BUDGET_KEEP_S) -- last: what failed may come again
return { 1 }
