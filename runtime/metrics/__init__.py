"""The page for Prometheus: the engine's own families, copies under standard names, and the runtime's."""
