-- Add what a replica admitted alone while Redis was away, once, whatever the limits say, and take back what its calls
-- whose answer was lost had charged here: it has decided about those anew.
-- KEYS: window, marker of this hand-over.
-- ARGV: time in microseconds or '' = Redis's own, @replica, batch (0 = a model's window, which is charged only with the
-- user's), how many lost calls, number and tokens of each,
-- then slot, requests, tokens by slot ascending.  Tokens below zero correct a charge already in the window; one that is
-- gone stays gone.

if call('EXISTS', KEYS[2]) == 1 then return { 0 } end
local key, replica = KEYS[1], ARGV[2]
local window = open(key, clock(ARGV[1]), MINUTE, replica)
if window.expired then call('DEL', key) end
if window.left then call('HDEL', key, unpack(window.left)) end

local newest, changed = window.newest, false
local function add(slot, requests, tokens)
  local stored = call('HMGET', key, 'r' .. slot, 't' .. slot)
  if window.slot - slot <= window.span.slots and (stored[1] or requests > 0) then
    local counted, held = tonumber(stored[1]) or 0, tonumber(stored[2]) or 0
    local kept, settled = math.max(0, counted + requests), math.max(0, held + tokens)
    call('HSET', key, 'r' .. slot, kept, 't' .. slot, settled)
    window.requests, window.tokens = window.requests + kept - counted, window.tokens + settled - held
    window.oldest, newest = math.min(window.oldest, slot), math.max(newest or slot, slot)
    changed = true
  end
end

local first = 5 + 2 * ARGV[4]
for i = first, #ARGV, 3 do
  local slot = math.min(tonumber(ARGV[i]), window.slot) -- a replica's clock may run ahead
  add(slot, tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
end
local charged = window.expired and '' or window.marker or ''
for i = 5, first - 1, 2 do
  local slot = string.match(charged, ' ' .. ARGV[i] .. '@(%d+)')
  if slot then add(tonumber(slot), -1, -ARGV[i + 1]) end
end

if changed or window.left then
  call('HSET', key, 'newest', newest, 'oldest', window.oldest, 'requests', window.requests, 'tokens', window.tokens)
end
if ARGV[3] ~= '0' and ARGV[4] ~= '0' then call('HSET', key, replica, ARGV[3]) end -- a lost call that comes only now is too late
call('EXPIRE', key, KEEP_S)
call('SET', KEYS[2], 1, 'EX', KEEP_S) -- last: what failed may come again
return { 1 }
