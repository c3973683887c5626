"""The engine model: what each pass computes for which request, and how long it takes.  No I/O and no clock."""
