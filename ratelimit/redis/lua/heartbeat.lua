-- Note that a replica lives.
-- KEYS: replicas.  ARGV: time in microseconds or '' = Redis's own, replica.
-- {its index among those that live, from 0, how many live}.

local now = clock(ARGV[1])
call('ZADD', KEYS[1], now, ARGV[2])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - LEASE_US)
call('EXPIRE', KEYS[1], KEEP_S)
local alive = call('ZRANGE', KEYS[1], 0, -1)
table.sort(alive)
for i, replica in ipairs(alive) do
  if replica == ARGV[2] then return { i - 1, #alive } end
end
