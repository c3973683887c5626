"""Pods as this gateway counts them: membership, health, requests in flight, decisions and their replay."""
