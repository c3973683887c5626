-- Renew or change how many permits of one user the requests of a replica hold.
-- KEYS: leases.  ARGV: time in microseconds or '' = Redis's own, @replica, how many ('' = as stored), change.

local now, held = clock(ARGV[1]), call('HGET', KEYS[1], ARGV[2])
local count = tonumber(ARGV[3]) or tonumber(held and string.match(held, '^%d+')) or 0
count = math.max(0, count + ARGV[4])
if count == 0 then
  call('HDEL', KEYS[1], ARGV[2])
else
  call('HSET', KEYS[1], ARGV[2], string.format('%d %d', count, now + LEASE_US))
  call('EXPIRE', KEYS[1], KEEP_S)
end
return { 1 }
