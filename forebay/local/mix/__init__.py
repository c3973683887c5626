"""`forebay up --mix`: simulated engines of several GPU types, started and drained as the optimizer plans."""
