-- Functions on windows (see ratelimit/window.py).  ratelimit/redis/scripts.py puts them before the scripts that use
-- them, and fills in the names in capitals in all scripts; only KEYS and ARGV are Redis's.
--
-- A window is a hash: `newest` and `oldest` slot; for each unit its sum over all slots stored, under the unit's name,
-- and its amount in each slot, under the unit's first letter and the slot (r1700000000).
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

-- Return a user's record, or nil and 'unknown' or 'malformed'.
local function read_user(key)
  local record = redis.pcall('GET', key)
  if not record then return nil, 'unknown' end
  if type(record) ~= 'string' or not string.find(record, '^%s*{') then return nil, 'malformed' end
  local decoded, user = pcall(cjson.decode, record)
  if not decoded then return nil, 'malformed' end
  return user
end

-- Read a window at `now`.  `slot` is where a charge goes; `stored` has the sum of each unit in the window, then the
-- amount of each in the slot.
local function open(key, now, slot_us, slots)
  local slot = math.floor(now / slot_us)
  local stored = call('HMGET', key, SLOT_FIELDS, 'newest', 'oldest')
  for i = 1, 2 * UNIT_COUNT do stored[i] = tonumber(stored[i]) or 0 end
  local newest, oldest = tonumber(stored[2 * UNIT_COUNT + 1]), tonumber(stored[2 * UNIT_COUNT + 2]) or slot
  local window = {
    key = key, slot_us = slot_us, slots = slots, now = now, slot = slot, newest = newest, oldest = oldest,
    stored = stored,
  }
  if not newest or slot - newest > slots then -- nothing stored counts any more
    window.expired, window.newest, window.oldest = newest ~= nil, nil, slot
    for i = 1, UNIT_COUNT do stored[i] = 0 end
  elseif newest > slot then -- the clock stepped back: time stands still
    slot = newest
    window.slot, window.now = slot, slot * slot_us
    local again = call('HMGET', key, SLOT_FIELDS)
    for i = UNIT_COUNT + 1, 2 * UNIT_COUNT do stored[i] = tonumber(again[i]) or 0 end
  elseif slot - oldest > slots then
    local left = {}
    for gone = oldest, slot - slots - 1 do
      for i = 1, UNIT_COUNT do left[#left + 1] = string.sub(UNIT_LETTERS, i, i) .. gone end
    end
    local amounts = call('HMGET', key, unpack(left))
    for j = 1, #left do
      local i = (j - 1) % UNIT_COUNT + 1
      stored[i] = stored[i] - (tonumber(amounts[j]) or 0)
    end
    window.left, window.oldest = left, slot - slots
  end
  return window
end

-- Return what a slot holds of a unit.
local function held_in(window, slot, unit)
  return tonumber(call('HGET', window.key, string.sub(UNIT_LETTERS, unit, unit) .. slot)) or 0
end

-- Return whether `amount` is too much.  A limit of 0 allows nothing.  Subtracting keeps the comparison exact at 2^53.
local function over(limited, used, amount)
  return limited >= 0 and (limited == 0 or amount > limited - used)
end

-- Shrink each guessed amount of a charge to the limit that it exceeds, but not below what is certain.
-- The amounts begin at ARGV[first], their certain parts follow.  See Charge.within in ratelimit/limits.py.
local function shrink(limits, first)
  for i = 1, #limits, 3 do
    local limited, at = limits[i + 1], first + limits[i + 2] - 1
    if limited >= 0 and tonumber(ARGV[at]) > limited then
      ARGV[at] = math.max(limited, tonumber(ARGV[at + UNIT_COUNT]))
    end
  end
end

-- Append to `obstacles` each limit of a window that a charge exceeds: name, limit, microseconds to wait (-1 = never).
-- The list is made for the first of them, because most charges exceed none.  The charge's amounts begin at ARGV[first].
local function meet_limits(obstacles, window, limits, first)
  for i = 1, #limits, 3 do
    local limited, unit = limits[i + 1], limits[i + 2]
    local used, amount = window.stored[unit], tonumber(ARGV[first + unit - 1])
    if over(limited, used, amount) then
      local wait = -1
      if limited > 0 and amount <= limited then
        local slot, excess = window.oldest - 1, amount - (limited - used)
        while excess > 0 and slot < window.newest do
          slot = slot + 1
          excess = excess - held_in(window, slot, unit)
        end
        wait = (slot + 1 + window.slots) * window.slot_us - window.now -- until the slot has left
      end
      obstacles = obstacles or {}
      local n = #obstacles
      obstacles[n + 1], obstacles[n + 2], obstacles[n + 3] = limits[i], limited, wait
    end
  end
  return obstacles
end

-- Charge the amounts that begin at ARGV[first].
local function take(window, first)
  local key, slot, stored = window.key, window.slot, window.stored
  for i = 1, UNIT_COUNT do
    local amount = ARGV[first + i - 1]
    stored[i], stored[UNIT_COUNT + i] = stored[i] + amount, stored[UNIT_COUNT + i] + amount
  end
  if window.expired then call('DEL', key) end
  call('HSET', key, SLOT_PAIRS, 'newest', slot, 'oldest', window.oldest)
  if slot ~= window.newest then -- the slot's first charge; HSET came first: out of memory must fail before any change
    if window.left then call('HDEL', key, unpack(window.left)) end
    call('EXPIRE', key, KEEP_S)
  end
  window.newest = slot
end

-- Append a window to a reply: for each limit the limit, what is used, the newest slot that holds any (0 = none does).
local function show(reply, window, limits)
  local n, stored = #reply, window.stored
  for i = 1, #limits, 3 do
    local unit, slot = limits[i + 2], window.slot
    if stored[unit] == 0 then
      slot = 0
    elseif stored[UNIT_COUNT + unit] == 0 then
      slot = window.newest
      while slot > window.oldest and held_in(window, slot, unit) == 0 do slot = slot - 1 end
    end
    reply[n + 1], reply[n + 2], reply[n + 3] = limits[i + 1], stored[unit], slot
    n = n + 3
  end
  return reply
end
