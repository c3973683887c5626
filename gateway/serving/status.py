"""gRPC's status codes and the encoding of their messages (grpc.io, "Status codes"; "gRPC over HTTP2")."""

OK, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 5, 8, 12, 13


def percent_encoded(message: str) -> bytes:
    """Encode a `grpc-message`: printable ASCII but the percent sign stays, all other bytes of UTF-8 become %XX."""
    return b"".join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte  # noqa: PLR2004 - the range of the rule
        for byte in message.encode()
    )
