-- Take one request and `tokens` or nothing; nothing is written on a refusal.
-- KEYS: user, window.  ARGV: time in microseconds or '' = Redis's own, tokens, 'check' = take nothing either way.
-- Admitted: {1, now, rpm, tpm, requests, tokens, newest slot with requests, newest slot with tokens}; limit -1 = none.
-- Refused:  {0, the same ..., RPM until slot, TPM until slot}: 0 = not in the way, -1 = never fits.
-- Unknown user: {2}.  Malformed record: {3}.

local rpm, tpm = read_user(KEYS[1])
if not rpm then return { tpm == 'unknown' and 2 or 3 } end

local key, charge = KEYS[2], tonumber(ARGV[2])
local window = open(key, clock(ARGV[1]))

-- A limit of 0 allows nothing.  Subtracting keeps the comparison exact at 2^53.
local over_rpm = rpm >= 0 and (rpm == 0 or 1 > rpm - window.requests)
local over_tpm = tpm >= 0 and (tpm == 0 or charge > tpm - window.tokens)

if over_rpm or over_tpm then
  local fields = fields_of(key)

  -- The oldest slot after whose leaving `excess` is free.
  local function until_slot(prefix, excess)
    for slot = window.oldest, window.newest do
      excess = excess - (fields[prefix .. slot] or 0)
      if excess <= 0 then return slot end
    end
    return -1
  end

  local rpm_until, tpm_until = 0, 0
  if over_rpm then rpm_until = rpm == 0 and -1 or until_slot('r', window.requests + 1 - rpm) end
  if over_tpm then
    tpm_until = (tpm == 0 or charge > tpm) and -1 or until_slot('t', charge - (tpm - window.tokens))
  end
  return {
    0, window.now, rpm, tpm, window.requests, window.tokens,
    window.newest or 0, tokens_slot(window, fields), rpm_until, tpm_until,
  }
end

if ARGV[3] == 'check' then
  return {
    1, window.now, rpm, tpm, window.requests, window.tokens,
    window.newest or 0, tokens_slot(window, fields_of(key)),
  }
end

local slot, requests, tokens = window.slot, window.requests + 1, window.tokens + charge
local slot_tokens = window.slot_tokens + charge
if window.expired then call('DEL', key) end
call('HSET', key, 'newest', slot, 'oldest', window.oldest, 'requests', requests, 'tokens', tokens,
  'r' .. slot, window.slot_requests + 1, 't' .. slot, slot_tokens)
if slot ~= window.newest then -- the slot's first charge; HSET came first: out of memory must fail before any change
  if window.left then call('HDEL', key, unpack(window.left)) end
  call('EXPIRE', key, KEEP_S)
end

window.newest, window.tokens = slot, tokens
local last = slot_tokens > 0 and slot or tokens > 0 and tokens_slot(window, fields_of(key)) or 0
return { 1, window.now, rpm, tpm, requests, tokens, slot, last }
