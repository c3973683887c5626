"""The transports that carry gRPC and HTTP to the exchange."""
