"""Plans which GPUs should exist: from demand and what each GPU type carries to replicas and shares of the traffic.

Pure: no I/O, no clock, no global randomness.
"""
