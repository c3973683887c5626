-- Take one request, `tokens` and a place under every limit that applies, or nothing; a refusal writes nothing.
-- KEYS: user, window; with `rps` also the model's window.
-- ARGV: time in microseconds or '' = Redis's own, tokens, model, @replica, batch ('' = only look), number, rps.
-- Unknown user: {2}.  Malformed record: {3}.  Came after the hand-over of its batch: {4}.
-- Otherwise {1 = taken or 0 = refused, now, concurrency, microseconds until anything leaves, has model window,
--   user's rpm, tpm, requests, tokens, newest slot with requests, with tokens, the same six of the model's window,
--   then by limit in the way: its place in limits.LimitKind, the limit, microseconds to wait}.  -1 = none, never.

local LEASE_US = 4000000 -- leases.LEASE_S
local CONCURRENCY_RETRY_US = 1000000 -- limits.CONCURRENCY_RETRY_S

local rpm, tpm, user = read_user(KEYS[1])
if not rpm then return { tpm == 'unknown' and 2 or 3 } end

local now, charge, replica, batch = clock(ARGV[1]), tonumber(ARGV[2]), ARGV[4], ARGV[5]
local window = open(KEYS[2], now, MINUTE, replica)
if window.marker and batch ~= '' and tonumber(string.match(window.marker, '^%d+')) > tonumber(batch) then
  return { 4 }
end

local concurrency = limit(user.concurrency)
local model, model_rpm, model_tpm
if user.models ~= nil and user.models ~= cjson.null then
  if type(user.models) ~= 'table' then return { 3 } end
  local limits = user.models[ARGV[3]]
  if limits ~= nil then
    if type(limits) ~= 'table' then return { 3 } end
    model_rpm, model_tpm = limit(limits.rpm), limit(limits.tpm)
    if not (model_rpm and model_tpm) then return { 3 } end
    model = open(KEYS[2] .. ':model:' .. ARGV[3], window.now, MINUTE, replica) -- the same time: the same slot
  end
end
if not concurrency then return { 3 } end

local obstacles -- made when there is one: most charges meet none
local function meet(kind, limited, wait)
  obstacles = obstacles or {}
  local n = #obstacles
  obstacles[n + 1], obstacles[n + 2], obstacles[n + 3] = kind, limited, wait
end

if over(rpm, window.requests, 1) then meet(0, rpm, wait_for(window, 'r', rpm, window.requests, 1)) end
if over(tpm, window.tokens, charge) then meet(1, tpm, wait_for(window, 't', tpm, window.tokens, charge)) end
if model then
  if over(model_rpm, model.requests, 1) then
    meet(2, model_rpm, wait_for(model, 'r', model_rpm, model.requests, 1))
  end
  if over(model_tpm, model.tokens, charge) then
    meet(3, model_tpm, wait_for(model, 't', model_tpm, model.tokens, charge))
  end
end

local second
if KEYS[3] then
  local rps = tonumber(ARGV[7])
  second = open(KEYS[3], now, SECOND, replica)
  if over(rps, second.requests, 1) then meet(4, rps, wait_for(second, 'r', rps, second.requests, 1)) end
end

-- Places: by replica "count until", fresh until then.
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
    meet(5, concurrency, concurrency == 0 and -1 or CONCURRENCY_RETRY_US)
  end
end

local reply = { 0, window.now, concurrency, 0, model and 1 or 0 }
if obstacles then
  reply[4] = leaves_in(window, window.oldest)
  if model then reply[4] = math.min(reply[4], leaves_in(model, model.oldest)) end
else
  reply[1] = 1
end
if not obstacles and batch ~= '' then
  take(window, charge, replica, marked(window, batch, ARGV[6]))
  if model then take(model, charge, replica, marked(model, batch, ARGV[6])) end
  if second then take(second, 0) end
  if concurrency >= 0 then
    if #stale > 0 then call('HDEL', leases, unpack(stale)) end
    call('HSET', leases, replica, string.format('%d %d', held + 1, now + LEASE_US))
    call('EXPIRE', leases, KEEP_S)
  end
end

show(reply, window, rpm, tpm)
if model then show(reply, model, model_rpm, model_tpm) end
if obstacles then
  for _, value in ipairs(obstacles) do reply[#reply + 1] = value end
end
return reply
