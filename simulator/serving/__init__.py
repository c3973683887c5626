"""One simulated engine over HTTP, on the real clock: its server, generation, faults and KV-cache events."""
