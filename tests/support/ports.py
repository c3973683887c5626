"""Ports for tests: bound once to 0, so that the kernel names one that is free."""

import socket


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_address() -> str:
    """The same as `127.0.0.1:port`."""
    return f"127.0.0.1:{free_port()}"
