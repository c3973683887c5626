-- One user's window, as ratelimit/plan.py describes it.  Prepended to the scripts that read it.
--
-- A hash: `newest` and `oldest` slot, `requests` and `tokens` summed over all slots stored, and for each slot
-- r<slot> and t<slot>.  What has left the window is dropped by the next charge; reading writes nothing.
-- Numbers are doubles, exact up to 2^53; Redis formats number arguments without loss.

local WINDOW_S = 60
local KEEP_S = 122 -- plan.KEEP_S
local MAX = 2 ^ 53
local call = redis.call

-- Microseconds: Redis's own time, the one clock all replicas share.  Only tests pass another.
local function clock(explicit)
  if explicit ~= '' then return tonumber(explicit) end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A limit of a user record: -1 = unlimited, nil = malformed.
local function limit(value)
  if value == nil or value == cjson.null then return -1 end
  if type(value) == 'number' and value >= 0 and value <= MAX and value % 1 == 0 then return value end
end

-- rpm, tpm; or nil and 'unknown' or 'malformed'.
local function read_user(key)
  local record = redis.pcall('GET', key)
  if not record then return nil, 'unknown' end
  if type(record) ~= 'string' or not string.find(record, '^%s*{') then return nil, 'malformed' end
  local decoded, user = pcall(cjson.decode, record)
  if not decoded then return nil, 'malformed' end
  local rpm, tpm = limit(user.rpm), limit(user.tpm)
  if not (rpm and tpm) then return nil, 'malformed' end
  return rpm, tpm
end

-- What counts at `now`.  `slot` is where a charge goes; `slot_requests` and `slot_tokens` are what it holds.
local function open(key, now)
  local slot = math.floor(now / 1000000)
  local stored = call('HMGET', key, 'newest', 'oldest', 'requests', 'tokens', 'r' .. slot, 't' .. slot)
  local window = {
    now = now, slot = slot, newest = tonumber(stored[1]), oldest = tonumber(stored[2]) or slot,
    requests = tonumber(stored[3]) or 0, tokens = tonumber(stored[4]) or 0,
    slot_requests = tonumber(stored[5]) or 0, slot_tokens = tonumber(stored[6]) or 0,
  }
  if not window.newest or slot - window.newest > WINDOW_S then -- nothing stored counts any more
    window.expired, window.newest = window.newest ~= nil, nil
    window.oldest, window.requests, window.tokens = slot, 0, 0
  elseif window.newest > slot then -- the clock stepped back: time stands still
    window.slot, window.now = window.newest, window.newest * 1000000
    stored = call('HMGET', key, 'r' .. window.slot, 't' .. window.slot)
    window.slot_requests, window.slot_tokens = tonumber(stored[1]) or 0, tonumber(stored[2]) or 0
  elseif slot - window.oldest > WINDOW_S then
    local fields = {}
    for left = window.oldest, slot - WINDOW_S - 1 do
      fields[#fields + 1] = 'r' .. left
      fields[#fields + 1] = 't' .. left
    end
    local held = call('HMGET', key, unpack(fields))
    for i = 1, #fields, 2 do
      window.requests = window.requests - (tonumber(held[i]) or 0)
      window.tokens = window.tokens - (tonumber(held[i + 1]) or 0)
    end
    window.left, window.oldest = fields, slot - WINDOW_S
  end
  return window
end

-- Every stored field, by name.
local function fields_of(key)
  local flat, fields = call('HGETALL', key), {}
  for i = 1, #flat, 2 do fields[flat[i]] = tonumber(flat[i + 1]) end
  return fields
end

-- The newest slot that holds tokens; 0 when none does.
local function tokens_slot(window, fields)
  if window.tokens == 0 then return 0 end
  for slot = window.newest, window.oldest, -1 do
    if (fields['t' .. slot] or 0) > 0 then return slot end
  end
  return 0
end
