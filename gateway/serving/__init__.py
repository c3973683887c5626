"""The transports that carry gRPC to the exchange: an HTTP/2 server of our own, and grpc.aio."""
