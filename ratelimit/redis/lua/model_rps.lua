-- Take one request under a model's limit of requests per second alone, or only look.
-- KEYS: the model's window.
-- ARGV: time in microseconds or '' = Redis's own, rps, 1 = take or 0 = only look, then the amount of each unit.
-- {1, slot} or {0 = refused, the limit's name, the limit, microseconds to wait; -1 = never}.

local second = open(KEYS[1], clock(ARGV[1]), SECOND)
local amounts = { tonumber(ARGV[4]), tonumber(ARGV[5]) }
local reply = meet_limits({ 0 }, second, { 'rps', tonumber(ARGV[2]), REQUESTS }, amounts)
if #reply > 1 then return reply end
if ARGV[3] == '1' then take(second, amounts) end
return { 1, second.slot }
