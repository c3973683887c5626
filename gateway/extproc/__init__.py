"""Envoy's external processing: the exchange, a state machine without I/O; its events and commands; the wire format."""
