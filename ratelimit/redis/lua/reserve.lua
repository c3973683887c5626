-- Take a charge and a permit under every limit that applies, or nothing; a refusal writes nothing.
-- KEYS: user, window; with `rps` also the model's window.
-- ARGV: time in microseconds or '' = Redis's own, model, @replica, 1 = take or 0 = only look, rps or '', then the
-- amount of each unit, then the part of each that is certain.
-- Unknown user: {2}.  Malformed record: {3}.
-- Otherwise {1 = taken or 0 = refused, now, concurrency, has model window, slot, the amount of each unit as charged,
--   for each of the user's limits: the limit, what is used, microseconds until nothing of it counts,
--   the same for the model's window,
--   for each limit in the way: its name, the limit, microseconds to wait}.  -1 = none, never.

local user, problem = read_user(KEYS[1])
if not user then return { problem == 'unknown' and 2 or 3 } end
local limits, concurrency = read_limits(user, USER_LIMITS), limit(user.concurrency)
if not (limits and concurrency) then return { 3 } end

local now, replica = clock(ARGV[1]), ARGV[3]
local window = open(KEYS[2], now, MINUTE)

local model, model_limits
if user.models ~= nil and user.models ~= cjson.null then
  if type(user.models) ~= 'table' then return { 3 } end
  local record = ARGV[2] ~= '' and user.models[ARGV[2]] or nil
  if record ~= nil then
    if type(record) ~= 'table' then return { 3 } end
    model_limits = read_limits(record, MODEL_LIMITS)
    if not model_limits then return { 3 } end
    model = open(KEYS[2] .. ':model:' .. ARGV[2], window.now, MINUTE) -- the same time: the same slot
  end
end

shrink(limits, 6)
if model then shrink(model_limits, 6) end
local obstacles = meet_limits(nil, window, limits, 6)
if model then obstacles = meet_limits(obstacles, model, model_limits, 6) end

local second
if KEYS[3] then
  second = open(KEYS[3], now, SECOND)
  obstacles = meet_limits(obstacles, second, { 'rps', tonumber(ARGV[5]), REQUESTS }, 6)
end

-- Permits, by replica: "count until", believed until then.
local leases, held, stale
if concurrency >= 0 then
  leases, held, stale = KEYS[2] .. ':leases', 0, {}
  local flat, running = call('HGETALL', leases), 0
  for i = 1, #flat, 2 do
    local count, fresh_until = string.match(flat[i + 1], '(%d+) (%d+)')
    if tonumber(fresh_until) < now and flat[i] ~= replica then
      stale[#stale + 1] = flat[i]
    else
      running = running + count
      if flat[i] == replica then held = tonumber(count) end
    end
  end
  if over(concurrency, running, 1) then
    obstacles = obstacles or {}
    local n = #obstacles
    obstacles[n + 1], obstacles[n + 2] = 'concurrency', concurrency
    obstacles[n + 3] = concurrency == 0 and -1 or CONCURRENCY_RETRY_US
  end
end

if not obstacles and ARGV[4] == '1' then
  take(window, 6)
  if model then take(model, 6) end
  if second then take(second, 6) end
  if concurrency >= 0 then
    if #stale > 0 then call('HDEL', leases, unpack(stale)) end
    call('HSET', leases, replica, string.format('%d %d', held + 1, now + LEASE_US))
    call('EXPIRE', leases, KEEP_S)
  end
end
local reply = { obstacles and 0 or 1, window.now, concurrency, model and 1 or 0, window.slot }
for i = 6, 5 + UNIT_COUNT do reply[i] = tonumber(ARGV[i]) end
show(reply, window, limits)
if model then show(reply, model, model_limits) end
if obstacles then
  for _, value in ipairs(obstacles) do reply[#reply + 1] = value end
end
return reply
