"""Ports for tests: bound once to 0, so that the kernel names one that is free."""

import contextlib
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
    """The second of two loopback ports in a row that were free a moment ago."""
    return free_ports(2)[1]


def free_ports(count: int) -> list[int]:
    """Loopback ports in a row that were free a moment ago.

    They are below Linux's ephemeral ports, any of which may at any time be that of somebody's connection.
    """
    for first in random.sample(range(20_000, 32_768 - count), 1000):
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + count):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return list(range(first, first + count))
    raise OSError(f"no {count} free ports in a row")
