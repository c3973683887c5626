"""Pods as this worker counts them: membership, health, requests in flight, decisions and their replay."""
