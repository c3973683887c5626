"""The limiter that all replicas share: Lua scripts on Redis, calls sent in batches, permits."""
