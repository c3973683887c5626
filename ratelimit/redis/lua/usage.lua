-- Read what a user has used; write nothing.
-- KEYS: user, window.  ARGV: time in microseconds or '' = Redis's own.
-- {1, then for each of the user's limits: the limit, what is used, microseconds to its reset}; limit -1 = none.
-- Unknown user: {2}.  Malformed record: {3}.

local user, problem = read_user(KEYS[1])
if not user then return { problem == 'unknown' and 2 or 3 } end
local limits = read_limits(user, USER_LIMITS)
if not limits then return { 3 } end
local window = open(KEYS[2], clock(ARGV[1]), MINUTE)
return show({ 1 }, window, limits)
