-- Take one request under a model's limit per second alone, or only look.
-- KEYS: the model's window.  ARGV: time in microseconds or '' = Redis's own, rps, 1 = take.
-- {1, slot} or {0 = refused, its place in limits.LimitKind, the limit, microseconds to wait; -1 = never}.

local rps, second = tonumber(ARGV[2]), open(KEYS[1], clock(ARGV[1]), SECOND, '@')
if over(rps, second.requests, 1) then
  return { 0, 4, rps, wait_for(second, 'r', rps, second.requests, 1) }
end
if ARGV[3] == '1' then take(second, 0) end
return { 1, second.slot }
