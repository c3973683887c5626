"""A gRPC server on an HTTP/2 implementation of our own, no larger than gRPC needs, in the worker's event loop."""
