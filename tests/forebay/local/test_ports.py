"""Ports that no listener and no other supervisor has."""

import contextlib
import socket

from forebay.local.ports import Ports
from tests.support.ports import free_port


def test_the_preferred_port_is_taken_when_it_is_free():
    port = free_port()
    with contextlib.closing(Ports()) as ports:
        assert f"127.0.0.1:{port}" == ports.take(port)


def test_a_port_with_a_listener_is_skipped_even_with_reuseport():
    with socket.socket() as listener, contextlib.closing(Ports()) as ports:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]

        assert f"127.0.0.1:{taken}" != ports.take(taken)


def test_supervisors_that_run_at_the_same_time_never_get_the_same_port():
    port = free_port()
    with contextlib.closing(Ports()) as mine, contextlib.closing(Ports()) as others:
        first = mine.take(port)
        assert first != others.take(port)
        assert 20 == len({mine.take() for _ in range(20)})
    with contextlib.closing(Ports()) as later:
        assert first == later.take(port)
