-- Replace reserved tokens by the real figure in their slot and give requests back, never below zero; nothing when the
-- slot is gone.
-- KEYS: the window, or several of one slot.  ARGV: slot, reserved tokens, real tokens, requests to give back.
-- A slot that left but is still stored may change: its next reader subtracts the changed figure.

local requests_field, tokens_field, back = 'r' .. ARGV[1], 't' .. ARGV[1], tonumber(ARGV[4])
for _, key in ipairs(KEYS) do
  local stored = redis.call('HMGET', key, 'tokens', tokens_field, 'requests', requests_field)
  local held, counted = tonumber(stored[2]), tonumber(stored[4])
  if held then
    local settled = math.max(0, held - tonumber(ARGV[2]) + tonumber(ARGV[3]))
    if settled ~= held then
      redis.call('HSET', key, 'tokens', tonumber(stored[1]) + settled - held, tokens_field, settled)
    end
    if back > 0 then
      local kept = math.max(0, counted - back)
      redis.call('HSET', key, 'requests', tonumber(stored[3]) + kept - counted, requests_field, kept)
    end
  end
end
return { 1 }
