"""The process beside an engine: adapters, downloads, the engine's metrics under standard names."""
