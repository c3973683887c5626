-- Functions on windows (see ratelimit/window.py).  ratelimit/redis/scripts.py puts them before the scripts that use
-- them, and fills in the names in capitals in all scripts; only KEYS and ARGV are Redis's.
--
-- A window is a hash: `last`, the microsecond of its last charge, and its `oldest` slot; for each unit its sum over all
-- slots stored, under the unit's name, and its amount in each slot, under the unit's first letter and the slot
-- (r1700000000); and when each slot but the newest was last charged (l1700000000; absent = perhaps at its very end).
-- What has left the window is dropped by the next charge; reading writes nothing.
-- Numbers are doubles, exact up to 2^53; Redis formats number arguments without loss.

local call = redis.call

-- Return the time in microseconds: Redis's own, the one clock that all replicas share.  Only tests pass another.
local function clock(explicit)
  if explicit ~= '' then return tonumber(explicit) end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Return a limit of a record: -1 = unlimited, nil = malformed.
local function limit(value)
  if value == nil or value == cjson.null then return -1 end
  if type(value) == 'number' and value >= 0 and value <= MAX_LIMIT and value % 1 == 0 then return value end
end

-- Replace in `limits` each field by the limit that a record has there, and return the list; nil when one is malformed.
-- A list of limits is flat, three values for each: name, field or limit, unit.
local function read_limits(record, limits)
  for i = 2, #limits, 3 do
    local limited = limit(record[limits[i]])
    if not limited then return nil end
    limits[i] = limited
  end
  return limits
end

-- Read zeros as AIBrix v0.2.1 does, in a record that it could have written: it knows rpm and tpm, and always writes both.
local function read_as_original(user)
  local rpm, tpm = user.rpm, user.tpm
  if type(rpm) ~= 'number' or type(tpm) ~= 'number' then return end
  if user.concurrency ~= nil or user.models ~= nil then return end
  if user.budgets ~= nil or user.reserve ~= nil or user.group ~= nil then return end
  if rpm == 0 then user.rpm = ORIGINAL_RPM end
  if tpm == 0 then user.tpm = user.rpm * ORIGINAL_TOKENS end
end

-- Return a record, or nil and 'unknown' or 'malformed'.
local function read_record(key)
  local record = redis.pcall('GET', key)
  if not record then return nil, 'unknown' end
  if type(record) ~= 'string' or not string.find(record, '^%s*{') then return nil, 'malformed' end
  local decoded, fields = pcall(cjson.decode, record)
  if not decoded then return nil, 'malformed' end
  return fields
end

-- Return a user's record, or nil and 'unknown' or 'malformed'.
local function read_user(key)
  local user, problem = read_record(key)
  if ZEROS_ARE_DEFAULTS and user then read_as_original(user) end
  return user, problem
end

-- Read a window at `now`.  `slot` is where a charge goes; slots from `first` on count; `stored` has the sum of each unit
-- in the window, then the amount of each in the slot.
local function open(key, now, slot_us, slots)
  local slot, span = math.floor(now / slot_us), slots * slot_us
  local stored = call('HMGET', key, SLOT_FIELDS, 'last', 'oldest')
  for i = 1, 2 * UNIT_COUNT do stored[i] = tonumber(stored[i]) or 0 end
  local last, oldest = tonumber(stored[2 * UNIT_COUNT + 1]), tonumber(stored[2 * UNIT_COUNT + 2]) or slot
  local window = {
    key = key, slot_us = slot_us, span = span, now = now, slot = slot, first = slot - slots, oldest = oldest,
    last = last, newest = last and math.floor(last / slot_us), stored = stored,
  }
  if not last or last + span <= now then -- nothing stored counts any more
    window.expired, window.last, window.newest, window.oldest = last ~= nil, nil, nil, slot
    for i = 1, UNIT_COUNT do stored[i] = 0 end
  elseif last > now then -- the clock stepped back: time stands still
    window.now = last
    if window.newest > slot then
      slot = window.newest
      window.slot, window.first = slot, slot - slots
      local again = call('HMGET', key, SLOT_FIELDS)
      for i = UNIT_COUNT + 1, 2 * UNIT_COUNT do stored[i] = tonumber(again[i]) or 0 end
    end
  else
    if oldest <= window.first then -- the slot at the edge of the window may have left it or not
      local edge = tonumber(call('HGET', key, 'l' .. window.first))
      if edge and edge + span <= now then window.first = window.first + 1 end
    end
    if oldest < window.first then
      local left = {}
      for gone = oldest, window.first - 1 do
        for i = 1, UNIT_COUNT + 1 do left[#left + 1] = string.sub(SLOT_LETTERS, i, i) .. gone end
      end
      local amounts = call('HMGET', key, unpack(left))
      for j = 1, #left do
        local i = (j - 1) % (UNIT_COUNT + 1) + 1
        if i <= UNIT_COUNT then stored[i] = stored[i] - (tonumber(amounts[j]) or 0) end
      end
      window.left, window.oldest = left, window.first
    end
  end
  return window
end

-- Return the microseconds until a slot has left the window.
local function leaves_in(window, slot)
  local last = window.last
  if slot ~= window.newest then
    last = tonumber(call('HGET', window.key, 'l' .. slot)) or (slot + 1) * window.slot_us
  end
  return last + window.span - window.now
end

-- Return what a slot holds of a unit.
local function held_in(window, slot, unit)
  return tonumber(call('HGET', window.key, string.sub(SLOT_LETTERS, unit, unit) .. slot)) or 0
end

-- Return whether `amount` is too much.  A limit of 0 allows nothing.  Subtracting keeps the comparison exact at 2^53.
local function over(limited, used, amount)
  return limited >= 0 and (limited == 0 or amount > limited - used)
end

-- Shrink each guessed amount of a charge to the limit that it exceeds, but not below what is certain.
-- See within in ratelimit/granting.py.
local function shrink(limits, amounts, certain)
  for i = 1, #limits, 3 do
    local limited, unit = limits[i + 1], limits[i + 2]
    if limited >= 0 and amounts[unit] > limited then amounts[unit] = math.max(limited, certain[unit]) end
  end
end

-- Append to `obstacles` each limit of a window that a charge exceeds: name, limit, microseconds to wait (-1 = never).
-- The list is made for the first of them, because most charges exceed none.
local function meet_limits(obstacles, window, limits, amounts)
  for i = 1, #limits, 3 do
    local limited, unit = limits[i + 1], limits[i + 2]
    local used, amount = window.stored[unit], amounts[unit]
    if over(limited, used, amount) then
      local wait = -1
      if limited > 0 and amount <= limited and window.ends_in then
        wait = window.ends_in
      elseif limited > 0 and amount <= limited then
        local slot, excess = window.oldest - 1, amount - (limited - used)
        while excess > 0 and slot < window.newest do
          slot = slot + 1
          excess = excess - held_in(window, slot, unit)
        end
        wait = leaves_in(window, slot)
      end
      obstacles = obstacles or {}
      local n = #obstacles
      obstacles[n + 1], obstacles[n + 2], obstacles[n + 3] = limits[i], limited, wait
    end
  end
  return obstacles
end

-- Charge amounts.
local function take(window, amounts)
  local key, slot, stored = window.key, window.slot, window.stored
  for i = 1, UNIT_COUNT do
    stored[i], stored[UNIT_COUNT + i] = stored[i] + amounts[i], stored[UNIT_COUNT + i] + amounts[i]
  end
  if window.expired then call('DEL', key) end
  call('HSET', key, SLOT_PAIRS, 'last', window.now, 'oldest', window.oldest)
  if slot ~= window.newest then -- the slot's first charge; HSET came first: out of memory must fail before any change
    if window.newest then call('HSET', key, 'l' .. window.newest, window.last) end
    call('EXPIRE', key, KEEP_S)
  end
  if window.left then call('HDEL', key, unpack(window.left)) end
  window.newest, window.last = slot, window.now
end

-- Append a window to a reply: for each limit the limit, what is used, the microseconds until nothing of it counts.
local function show(reply, window, limits)
  local n, stored = #reply, window.stored
  for i = 1, #limits, 3 do
    local unit, reset = limits[i + 2], 0
    if stored[unit] > 0 and window.ends_in then
      reset = window.ends_in
    elseif stored[unit] > 0 then
      local slot = window.newest
      if slot ~= window.slot or stored[UNIT_COUNT + unit] == 0 then
        while slot > window.oldest and held_in(window, slot, unit) == 0 do slot = slot - 1 end
      end
      reset = leaves_in(window, slot)
    end
    reply[n + 1], reply[n + 2], reply[n + 3] = limits[i + 1], stored[unit], reset
    n = n + 3
  end
  return reply
end
