"""Envoy's access-log stream, turned into Finished events."""
