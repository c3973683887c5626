"""A stand-in for an LLM engine: its HTTP face and its timing."""
