"""Envoy's external processing: a sans-IO exchange, its events and commands, and the wire format."""
