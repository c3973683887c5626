"""Ports for tests: bound once to 0, so that the kernel names one that is free."""

import random
import socket


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_address() -> str:
    """The same as `127.0.0.1:port`."""
    return f"127.0.0.1:{free_port()}"


def free_pair() -> int:
    """The second of two loopback ports in a row that were free a moment ago.

    They are below Linux's ephemeral ports, any of which may at any time be that of somebody's connection.
    """
    for port in random.sample(range(20_001, 32_768), 1000):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port - 1))
                second.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no two free ports in a row")
