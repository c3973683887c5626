"""gRPC's status codes and how their messages travel (grpc.io, "Status codes"; "gRPC over HTTP2", grpc-message)."""

OK, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, INTERNAL = 0, 3, 5, 12, 13


def percent_encoded(message: str) -> bytes:
    """As grpc-message wants it: printable ASCII but for the percent sign, the rest %XX."""
    return b"".join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte  # noqa: PLR2004 - the rule itself
        for byte in message.encode()
    )
