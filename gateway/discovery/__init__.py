"""Which engines there are, which models they serve, and whether they answer."""
