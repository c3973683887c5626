-- A replica lives: {its place among those that live, from 0, and how many they are}.
-- KEYS: replicas.  ARGV: time in microseconds or '' = Redis's own, replica.

local LEASE_US = 4000000 -- leases.LEASE_S

local now = clock(ARGV[1])
call('ZADD', KEYS[1], now, ARGV[2])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - LEASE_US)
call('EXPIRE', KEYS[1], KEEP_S)
local alive = call('ZRANGE', KEYS[1], 0, -1)
table.sort(alive)
for place, replica in ipairs(alive) do
  if replica == ARGV[2] then return { place - 1, #alive } end
end
