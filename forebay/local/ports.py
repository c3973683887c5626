"""Free loopback ports, reserved for as long as this process lives.

Lives here: finding and reserving.  Not here: binding (the parts do it themselves).
"""

import socket

LOOPBACK = "127.0.0.1"


class Ports:
    """Hands out ports that no listener has and no other supervisor on this machine has reserved.

    Reserved by a name in Linux's abstract socket namespace, which is as exclusive as a port, belongs to the same
    network namespace and vanishes with the process.  Binding the port itself would not do: Envoy and the workers listen
    with SO_REUSEPORT, so two supervisors that find the same port free would silently share its connections.
    """

    def __init__(self) -> None:
        self._reservations: list[socket.socket] = []

    def take(self, preferred: int = 0) -> str:
        """`127.0.0.1:port`, with the preferred port when it is free."""
        port = preferred if preferred and self._reserve(preferred) else 0
        while not port:
            candidate = _any_free_port()
            port = candidate if self._reserve(candidate) else 0
        return f"{LOOPBACK}:{port}"

    def close(self) -> None:
        """Give all reservations back."""
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
        # Connections of an earlier run may still linger on the port; they are no obstacle to a new listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        return int(probe.getsockname()[1])


def _any_free_port() -> int:
    return _bind_briefly(0)
