"""Engine metrics: asked for, parsed, given to the fleet."""
