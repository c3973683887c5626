-- Windows, as ratelimit/window.py describes them.  Prepended to the scripts that read them.
--
-- A hash: `newest` and `oldest` slot, `requests` and `tokens` summed over all slots stored, for each slot
-- r<slot> and t<slot>, and for each replica @<replica>: its last batch that was charged here, and who was.
-- What has left the window is dropped by the next charge; reading writes nothing.
-- Numbers are doubles, exact up to 2^53; Redis formats number arguments without loss.

local MINUTE = { slot_us = 1000000, slots = 60 } -- window.MINUTE
local SECOND = { slot_us = 50000, slots = 20 } -- window.SECOND
local KEEP_S = 122 -- window.KEEP_S
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

-- rpm, tpm, the whole record; or nil and 'unknown' or 'malformed'.
local function read_user(key)
  local record = redis.pcall('GET', key)
  if not record then return nil, 'unknown' end
  if type(record) ~= 'string' or not string.find(record, '^%s*{') then return nil, 'malformed' end
  local decoded, user = pcall(cjson.decode, record)
  if not decoded then return nil, 'malformed' end
  local rpm, tpm = limit(user.rpm), limit(user.tpm)
  if not (rpm and tpm) then return nil, 'malformed' end
  return rpm, tpm, user
end

-- What counts at `now`.  `slot` is where a charge goes; `slot_requests` and `slot_tokens` are what it holds.
local function open(key, now, span, marker)
  local slot = math.floor(now / span.slot_us)
  local stored = call('HMGET', key, 'newest', 'oldest', 'requests', 'tokens', 'r' .. slot, 't' .. slot, marker)
  local window = {
    key = key, span = span, now = now, slot = slot, newest = tonumber(stored[1]), oldest = tonumber(stored[2]) or slot,
    requests = tonumber(stored[3]) or 0, tokens = tonumber(stored[4]) or 0,
    slot_requests = tonumber(stored[5]) or 0, slot_tokens = tonumber(stored[6]) or 0, marker = stored[7],
  }
  if not window.newest or slot - window.newest > span.slots then -- nothing stored counts any more
    window.expired, window.newest = window.newest ~= nil, nil
    window.oldest, window.requests, window.tokens = slot, 0, 0
  elseif window.newest > slot then -- the clock stepped back: time stands still
    window.slot, window.now = window.newest, window.newest * span.slot_us
    stored = call('HMGET', key, 'r' .. window.slot, 't' .. window.slot)
    window.slot_requests, window.slot_tokens = tonumber(stored[1]) or 0, tonumber(stored[2]) or 0
  elseif slot - window.oldest > span.slots then
    local fields = {}
    for left = window.oldest, slot - span.slots - 1 do
      fields[#fields + 1] = 'r' .. left
      fields[#fields + 1] = 't' .. left
    end
    local held = call('HMGET', key, unpack(fields))
    for i = 1, #fields, 2 do
      window.requests = window.requests - (tonumber(held[i]) or 0)
      window.tokens = window.tokens - (tonumber(held[i + 1]) or 0)
    end
    window.left, window.oldest = fields, slot - span.slots
  end
  return window
end

-- Microseconds until a slot has left.
local function leaves_in(window, slot)
  return (slot + 1 + window.span.slots) * window.span.slot_us - window.now
end

-- Every stored number, by name.
local function fields_of(window)
  if not window.fields then
    local flat = call('HGETALL', window.key)
    window.fields = {}
    for i = 1, #flat, 2 do window.fields[flat[i]] = tonumber(flat[i + 1]) end
  end
  return window.fields
end

-- The newest slot that holds requests ('r') or tokens ('t'); 0 when none does.
local function newest_with(window, prefix, sum)
  if sum == 0 then return 0 end
  local fields = fields_of(window)
  for slot = window.newest, window.oldest, -1 do
    if (fields[prefix .. slot] or 0) > 0 then return slot end
  end
  return 0
end

-- Whether `amount` is too much.  A limit of 0 allows nothing.  Subtracting keeps the comparison exact at 2^53.
local function over(limited, used, amount)
  return limited >= 0 and (limited == 0 or amount > limited - used)
end

-- Microseconds until `amount` fits; -1 = never.
local function wait_for(window, prefix, limited, used, amount)
  if limited == 0 or amount > limited then return -1 end
  local excess, fields = amount - (limited - used), fields_of(window)
  for slot = window.oldest, window.newest do
    excess = excess - (fields[prefix .. slot] or 0)
    if excess <= 0 then return leaves_in(window, slot) end
  end
  return -1
end

-- The calls charged here that a replica may not know of: "batch number@slot number@slot ...", of its last batch only.
local function marked(window, batch, number)
  local marker = window.marker
  if not marker or string.match(marker, '^%d+') ~= batch then marker = batch end
  return marker .. ' ' .. number .. '@' .. window.slot
end

-- Add one request and `tokens`, and what else is to be written in the same breath.
local function take(window, tokens, ...)
  local key, slot = window.key, window.slot
  window.requests, window.tokens = window.requests + 1, window.tokens + tokens
  window.slot_requests, window.slot_tokens = window.slot_requests + 1, window.slot_tokens + tokens
  if window.expired then call('DEL', key) end
  call('HSET', key, 'newest', slot, 'oldest', window.oldest, 'requests', window.requests, 'tokens', window.tokens,
    'r' .. slot, window.slot_requests, 't' .. slot, window.slot_tokens, ...)
  if slot ~= window.newest then -- the slot's first charge; HSET came first: out of memory must fail before any change
    if window.left then call('HDEL', key, unpack(window.left)) end
    call('EXPIRE', key, KEEP_S)
  end
  window.newest = slot
end

-- Append a window to a reply: limits, sums, and the newest slots that hold requests and tokens.
local function show(reply, window, rpm, tpm)
  local n, slot = #reply, window.slot
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = rpm, tpm, window.requests, window.tokens
  reply[n + 5] = window.slot_requests > 0 and slot or newest_with(window, 'r', window.requests)
  reply[n + 6] = window.slot_tokens > 0 and slot or newest_with(window, 't', window.tokens)
  return reply
end
