"""The engines that the runtime stands beside: what it asks them, and how each of them spells it."""
