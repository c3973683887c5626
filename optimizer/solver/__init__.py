"""Finds replicas and shares: by HiGHS exactly, greedily without it."""
