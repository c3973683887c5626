"""Chooses the pod for a request.  Pure: no I/O, no clock, no global randomness."""
