-- Take a charge and permits under every limit that applies, or nothing; a refusal writes nothing.
-- KEYS: user, window; with `rps` also the model's window.
-- ARGV: time in microseconds or '' = Redis's own, model, @replica, 1 = take or 0 = only look, rps or '', then the
-- requests and tokens, then those of them that are certain.  Some charges go on: the id of the API key or '', the
-- amounts' meaning ('maximum' = upper bounds, 'expected' = guesses, 'any' = guesses, and there are no bounds), the
-- meaning for records that do not say which, cost, certain cost, the price of a token of the answer, and the group that
-- was charged elsewhere.
-- Unknown user: {2}.  Malformed record: {3}.  The record wants another charge: {4, how to reserve or '', group or ''}.
-- Otherwise {1 = taken or 0 = refused, now, concurrency, levels, slot, the amount of each unit as charged,
--   for each of the user's limits: the limit, what is used, microseconds until nothing of it counts,
--   the same for the windows of the model, the key and the group, then for the budgets of user, key and group,
--   for each limit in the way: its name, the limit, microseconds to wait, and last the group}.  -1 = none, never.
-- `levels` is a sum: 1 = the model has a window, 2 = the key, 4 = the group, 8, 16 and 32 = user, key and group have
-- budgets, 64 and 128 = key and group have permits.

local user, problem = read_user(KEYS[1])
if not user then return { problem == 'unknown' and 2 or 3 } end
local limits, concurrency = read_limits(user, USER_LIMITS), limit(user.concurrency)
if not (limits and concurrency) then return { 3 } end

local started, replica = clock(ARGV[1]), ARGV[3]
local now = started
local amounts = { tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[13] or 0) }
local certain = { tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[14] or 0) }

-- Of each level: its record, the prefix of its keys and of its limits' names, its bit in `levels`.
local levels, group
if ARGV[10] or user.budgets or user.group or user.reserve then
  local reserve = user.reserve ~= cjson.null and user.reserve or ''
  group = user.group ~= cjson.null and user.group or ''
  if type(group) ~= 'string' or reserve ~= '' and reserve ~= 'maximum' and reserve ~= 'expected' then return { 3 } end
  local meant, wanted = ARGV[11] or 'expected', reserve ~= '' and reserve or ARGV[12] or 'expected'
  if meant ~= 'any' and meant ~= wanted or GROUPS_ELSEWHERE and group ~= (ARGV[16] or '') then
    return { 4, reserve, group }
  end

  local prefix = string.sub(KEYS[2], 1, -8)
  levels = { user, prefix, '', 1 }
  for bit = 2, 4, 2 do
    local of = bit == 2 and (ARGV[10] or '') or GROUPS_ELSEWHERE and '' or group
    if of ~= '' then
      local key = bit == 2 and prefix .. ':key:' .. of or 'GROUP_KEY_PREFIX' .. of
      local record, wrong = read_record(key)
      if wrong == 'malformed' then return { 3 } end
      if record and bit == 4 then
        key = 'forebay:{' .. key .. '}'
        now = math.max(now, tonumber(call('HGET', key .. ':window', 'last')) or 0) -- all charge the same slot
      end
      if record then
        local n = #levels
        levels[n + 1], levels[n + 2], levels[n + 3], levels[n + 4] = record, key, bit == 2 and 'key_' or 'group_', bit
      end
    end
  end
end

-- The windows and periods that the charge goes into, each with its limits.
local window = open(KEYS[2], now, MINUTE)
local windows, shown = { window, limits }, 0
if user.models ~= nil and user.models ~= cjson.null then
  if type(user.models) ~= 'table' then return { 3 } end
  local record = ARGV[2] ~= '' and user.models[ARGV[2]] or nil
  if record ~= nil then
    if type(record) ~= 'table' then return { 3 } end
    windows[4] = read_limits(record, MODEL_LIMITS)
    if not windows[4] then return { 3 } end
    windows[3] = open(KEYS[2] .. ':model:' .. ARGV[2], window.now, MINUTE) -- the same time: the same slot
    shown = 1
  end
end
for i = 5, levels and #levels or 0, 4 do
  local of_level, name, n = levels[i], levels[i + 2], #windows
  windows[n + 2] = read_limits(of_level, { LEVEL_LIMITS })
  if not windows[n + 2] then return { 3 } end
  windows[n + 1] = open(levels[i + 1] .. ':window', window.now, MINUTE)
  shown = shown + levels[i + 3]
end
local open_budgets, spend
if levels then open_budgets, spend = budget_functions() end
for i = 1, levels and #levels or 0, 4 do
  local n = #windows
  if not open_budgets(windows, levels[i].budgets, levels[i + 1], levels[i + 2], window) then return { 3 } end
  if #windows > n then shown = shown + 8 * levels[i + 3] end
end

if ARGV[11] == 'maximum' then
  grant(windows, amounts, certain, tonumber(ARGV[15]))
else
  for i = 2, #windows, 2 do shrink(windows[i], amounts, certain) end
end
local obstacles
for i = 1, #windows, 2 do obstacles = meet_limits(obstacles, windows[i], windows[i + 1], amounts) end

local second
if KEYS[3] then
  second = open(KEYS[3], started, SECOND)
  obstacles = meet_limits(obstacles, second, { 'rps', tonumber(ARGV[5]), REQUESTS }, amounts)
end

-- Permits, by replica: "count until", believed until then.
local permits
if concurrency >= 0 or levels then
  permits = {}
  local function meet_permits(name, limited, leases)
    local held, stale, flat, running = 0, {}, call('HGETALL', leases), 0
    for i = 1, #flat, 2 do
      local count, fresh_until = string.match(flat[i + 1], '(%d+) (%d+)')
      if tonumber(fresh_until) < now and flat[i] ~= replica then
        stale[#stale + 1] = flat[i]
      else
        running = running + count
        if flat[i] == replica then held = tonumber(count) end
      end
    end
    permits[#permits + 1] = { leases, held, stale }
    if over(limited, running, 1) then
      obstacles = obstacles or {}
      local n = #obstacles
      obstacles[n + 1], obstacles[n + 2] = name, limited
      obstacles[n + 3] = limited == 0 and -1 or CONCURRENCY_RETRY_US
    end
  end
  if concurrency >= 0 then meet_permits('concurrency', concurrency, KEYS[2] .. ':leases') end
  for i = 5, levels and #levels or 0, 4 do
    local limited = limit(levels[i].concurrency)
    if not limited then return { 3 } end
    if limited >= 0 then
      meet_permits(levels[i + 2] .. 'concurrency', limited, levels[i + 1] .. ':window:leases')
      shown = shown + 32 * levels[i + 3]
    end
  end
end

if not obstacles and ARGV[4] == '1' then
  for i = 1, #windows, 2 do
    if windows[i].ends_in then spend(windows[i], amounts) else take(windows[i], amounts) end
  end
  if second then take(second, amounts) end
  for i = 1, permits and #permits or 0 do
    local leases, held, stale = unpack(permits[i])
    if #stale > 0 then call('HDEL', leases, unpack(stale)) end
    call('HSET', leases, replica, string.format('%d %d', held + 1, now + LEASE_US))
    call('EXPIRE', leases, KEEP_S)
  end
end
local reply = { obstacles and 0 or 1, window.now, concurrency, shown, window.slot, unpack(amounts) }
for i = 1, #windows, 2 do show(reply, windows[i], windows[i + 1]) end
if obstacles then
  for _, value in ipairs(obstacles) do reply[#reply + 1] = value end
end
if levels and levels[#levels] == 4 then reply[#reply + 1] = group end
return reply
