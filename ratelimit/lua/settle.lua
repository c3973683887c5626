-- Replace reserved tokens by the real figure in their slot, never below zero; nothing when the slot is gone.
-- KEYS: window.  ARGV: slot, reserved tokens, real tokens.
-- A slot that left but is still stored may change: its next reader subtracts the changed figure.

local field = 't' .. ARGV[1]
local stored = redis.call('HMGET', KEYS[1], 'tokens', field)
local held = tonumber(stored[2])
if held then
  local settled = math.max(0, held - tonumber(ARGV[2]) + tonumber(ARGV[3]))
  if settled ~= held then
    redis.call('HSET', KEYS[1], 'tokens', tonumber(stored[1]) + settled - held, field, settled)
  end
end
return { 1 }
