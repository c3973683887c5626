"""The admin REST: users, their limits, their API keys, and what they have used."""
