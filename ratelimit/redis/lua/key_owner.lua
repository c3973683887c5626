-- Look up the user of a key, and its terms.
-- KEYS: holders, epoch, terms.  ARGV: digest of the key.  {how many changes there were, user or nil, terms or nil}.

return { tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('HGET', KEYS[1], ARGV[1]),
  redis.call('HGET', KEYS[3], ARGV[1]) }
