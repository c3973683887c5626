"""Plans which GPUs should exist: from demand and what each GPU type carries to replicas and shares of the traffic.

Pure, but for `service`, which runs it: no I/O, no clock, no global randomness.
"""
