"""A stand-in for an LLM engine: one core model of its timing, served over HTTP or replayed in virtual time."""
