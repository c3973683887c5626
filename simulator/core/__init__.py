"""The engine model: which request computes what in which pass, and how long the pass takes.  No I/O and no clock."""
