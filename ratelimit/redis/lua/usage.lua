-- Read what a level has used; write nothing.
-- KEYS: record, window.  ARGV: time in microseconds or '' = Redis's own.
-- {1, 1 = has budgets or 0, then for each of its limits and budgets: the limit, what is used, microseconds to its
-- reset}; limit -1 = none.  Unknown: {2}.  Malformed record: {3}.

local user, problem = read_user(KEYS[1])
if not user then return { problem == 'unknown' and 2 or 3 } end
local limits = read_limits(user, USER_LIMITS)
if not limits then return { 3 } end
local window = open(KEYS[2], clock(ARGV[1]), MINUTE)
local windows, open_budgets = { window, limits }, budget_functions()
if not open_budgets(windows, user.budgets, string.sub(KEYS[2], 1, -8), '', window) then return { 3 } end
local reply = { 1, #windows > 2 and 1 or 0 }
for i = 1, #windows, 2 do show(reply, windows[i], windows[i + 1]) end
return reply
