"""The process that listens on a port is named by its command and its pid."""

import os
import socket

import pytest

from forebay.local.port_owner import port_owner
from tests.support.ports import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_is_named_with_its_pid_and_its_command(host: str):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        said = port_owner(listener.getsockname()[1])

    assert f"(pid {os.getpid()})" in said
    assert " by " in said


def test_nobody_has_a_free_port():
    assert "" == port_owner(free_port())
