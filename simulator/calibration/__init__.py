"""GPU profiles from a live engine: measuring it, fitting the model, the profile as a file."""
