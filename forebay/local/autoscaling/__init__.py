"""Autoscaling of simulated engines on this machine: what is seen of them, and doing what is decided."""
