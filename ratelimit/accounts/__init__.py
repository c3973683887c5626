"""Users and their API keys as stored in Redis, and the check of a request's key."""
