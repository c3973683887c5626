-- Add what a replica admitted alone while Redis was away, once, whatever the limits say.
-- KEYS: window, marker of this hand-over.  ARGV: time in microseconds or '' = Redis's own, then slot, requests,
-- tokens by slot ascending.  Tokens below zero correct a charge already in the window; one that is gone stays gone.

if call('EXISTS', KEYS[2]) == 1 then return { 0 } end
local key = KEYS[1]
local window = open(key, clock(ARGV[1]))
if window.expired then call('DEL', key) end
if window.left then call('HDEL', key, unpack(window.left)) end

local newest, changed = window.newest, false
for i = 2, #ARGV, 3 do
  local slot = math.min(tonumber(ARGV[i]), window.slot) -- a replica's clock may run ahead
  local requests, tokens = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local stored = call('HMGET', key, 'r' .. slot, 't' .. slot)
  if window.slot - slot <= WINDOW_S and (stored[1] or requests > 0) then
    local held = tonumber(stored[2]) or 0
    local settled = math.max(0, held + tokens)
    call('HSET', key, 'r' .. slot, (tonumber(stored[1]) or 0) + requests, 't' .. slot, settled)
    window.requests, window.tokens = window.requests + requests, window.tokens + settled - held
    window.oldest, newest = math.min(window.oldest, slot), math.max(newest or slot, slot)
    changed = true
  end
end

if changed or window.left then
  call('HSET', key, 'newest', newest, 'oldest', window.oldest, 'requests', window.requests, 'tokens', window.tokens)
  call('EXPIRE', key, KEEP_S)
end
call('SET', KEYS[2], 1, 'EX', KEEP_S) -- last: what failed may come again
return { 1 }
