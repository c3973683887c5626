"""Chooses the pod that answers a request.  Pure: no I/O, no clock, no global randomness."""
