"""gRPC over an HTTP/2 server of our own: the least that a gRPC client may expect, in the worker's own event loop."""
