-- What counts now; writes nothing.
-- KEYS: user, window.  ARGV: time in microseconds or '' = Redis's own.
-- {1, now, rpm, tpm, requests, tokens, newest slot with requests, newest slot with tokens}; limit -1 = none.  Unknown user: {2}.  Malformed record: {3}.

local rpm, tpm = read_user(KEYS[1])
if not rpm then return { tpm == 'unknown' and 2 or 3 } end
local window = open(KEYS[2], clock(ARGV[1]), MINUTE, '@')
return show({ 1, window.now }, window, rpm, tpm)
