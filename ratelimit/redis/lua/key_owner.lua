-- Look up the user of a key.
-- KEYS: holders, epoch.  ARGV: digest of the key.  {how many revocations there were, user or nil}.

return { tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('HGET', KEYS[1], ARGV[1]) }
