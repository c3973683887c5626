-- Functions that correct what was charged; nothing falls below zero, and what is gone stays gone.

local call = redis.call

-- Return whether a request is to be settled: once, whoever brings it; without an id ('') each time.
local function settles(key, request)
  return request == '' or call('SET', key .. ':settled:' .. request, 1, 'NX', 'EX', KEEP_S)
end

-- Add to a field of a hash, and to the field of its sum if there is one.
local function correct(key, field, change, sum)
  local stored = call('HMGET', key, field, sum or field)
  local held = tonumber(stored[1])
  if held and change ~= 0 then
    local settled = math.max(0, held + change)
    call('HSET', key, field, settled)
    if sum then call('HSET', key, sum, stored[2] + settled - held) end
  end
end
