-- Let a hard reservation count from now on: as it is while its request runs, with what was used at the request's end.
-- KEYS: the windows that hold it, then the periods of budgets.
-- ARGV: time in microseconds or '' = Redis's own, how many windows, the request's id, the slot where it was admitted,
-- the tokens reserved, 1 = the request has ended or 0, then for each unit what to add.
-- The request itself stays in the slot where it was admitted, and so do budgets.  In `:at:` the request's id is where
-- its tokens are since they were moved.

local windows, id, slot, reserved = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local moved = KEYS[1] .. ':at:' .. id
if ARGV[6] == '1' then
  if not settles(KEYS[1], id) then return { 0 } end
elseif call('EXISTS', KEYS[1] .. ':settled:' .. id) == 1 then
  return { 0 }
end

local now, from = clock(ARGV[1]), tonumber(call('GET', moved) or slot)
for k = 1, windows do now = math.max(now, tonumber(call('HGET', KEYS[k], 'last')) or 0) end
local to
for k = 1, windows do
  correct(KEYS[k], 'r' .. slot, tonumber(ARGV[7]), 'requests')
  local window = open(KEYS[k], now, MINUTE)
  if from >= window.first and not window.expired then
    local held = from == window.slot and window.stored[UNIT_COUNT + TOKENS] or held_in(window, from, TOKENS)
    local gone = math.min(held, reserved)
    window.stored[TOKENS] = window.stored[TOKENS] - gone
    if from == window.slot then
      window.stored[UNIT_COUNT + TOKENS] = held - gone
    elseif gone > 0 then
      call('HSET', KEYS[k], 't' .. from, held - gone)
    end
  end
  take(window, { 0, reserved + ARGV[8] })
  to = window.slot
end
if ARGV[6] == '1' then
  call('DEL', moved)
  for k = windows + 1, #KEYS do
    correct(KEYS[k], 'tokens', tonumber(ARGV[8]))
    correct(KEYS[k], 'cost', tonumber(ARGV[9]))
  end
else
  call('SET', moved, to, 'EX', KEEP_S)
end
return { 1 }
