-- The user whose key it is, and how many revocations there were.
-- KEYS: holders, epoch.  ARGV: digest.  {epoch, user or nil}.

return { tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('HGET', KEYS[1], ARGV[1]) }
