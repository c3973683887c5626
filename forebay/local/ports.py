"""Free loopback ports, reserved for as long as this process lives.

Lives here: finding and reserving.  Not here: binding (each process binds its own ports).
"""

import socket

LOOPBACK = "127.0.0.1"


class Ports:
    """Hands out ports that have no listener and that no other supervisor on this machine has reserved.

    A reservation is a name in Linux's abstract socket namespace: as exclusive as a port, in the same network namespace,
    and released when the process ends.  Binding the port itself would not reserve it: Envoy and the workers listen with
    SO_REUSEPORT, so two supervisors that find the same port free would silently share its connections.
    """

    def __init__(self) -> None:
        self._reservations: list[socket.socket] = []

    def take(self, preferred: int = 0) -> str:
        """Reserve a port, the preferred one when it is free, and return `127.0.0.1:port`."""
        port = preferred if preferred and self._reserve(preferred) else 0
        while not port:
            candidate = _any_free_port()
            port = candidate if self._reserve(candidate) else 0
        return f"{LOOPBACK}:{port}"

    def close(self) -> None:
        """Release all reservations."""
        for reservation in self._reservations:
            reservation.close()
        self._reservations.clear()

    def _reserve(self, port: int) -> bool:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            name.bind(f"\0forebay-port-{port}")
            _bind_briefly(port)
        except OSError:
            name.close()
            return False
        self._reservations.append(name)
        return True


def _bind_briefly(port: int) -> int:
    with socket.socket() as probe:
        # Connections of an earlier run may still be in TIME_WAIT on the port; they do not hinder a new listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        return int(probe.getsockname()[1])


def _any_free_port() -> int:
    return _bind_briefly(0)
