"""The data plane, one worker: what Envoy asks about each request, and what is answered."""
