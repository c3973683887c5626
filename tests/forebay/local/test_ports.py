"""Addresses that are held: for nobody else, and for the processes of the holder."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from forebay.local.ports import AddressError, Ports
from tests.support.ports import free_port


@pytest.fixture
def ports() -> Iterator[Ports]:
    with contextlib.closing(Ports()) as opened:
        yield opened


@pytest.fixture
def others() -> Iterator[Ports]:
    with contextlib.closing(Ports()) as opened:
        yield opened


def listening(host: str, port: int, **options: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, **options)


def test_the_preferred_port_is_taken_when_it_is_free(ports: Ports):
    port = free_port()
    assert f"127.0.0.1:{port}" == ports.take(port)


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_with_a_listener_is_skipped_and_cannot_be_held(ports: Ports, reuse_port: bool):
    with listening("127.0.0.1", 0, reuse_port=reuse_port) as listener:
        taken = listener.getsockname()[1]

        assert f"127.0.0.1:{taken}" != ports.take(taken)
        with pytest.raises(
            AddressError, match=f"listen.http = 127.0.0.1:{taken}, is in use by .* .pid {os.getpid()}.$"
        ):
            ports.hold("listen.http", f"127.0.0.1:{taken}")


OVERLAPS = [
    ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("[::]", "127.0.0.1"),
    ("127.0.0.1", "[::]"), ("[::]", "0.0.0.0"), ("[::]", "[::1]"), ("[::1]", "[::]"), ("[::]", "[::]"),
    ("localhost", "127.0.0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("mine", "theirs"), OVERLAPS)
def test_addresses_that_overlap_are_held_once(ports: Ports, others: Ports, mine: str, theirs: str):
    port = free_port()
    ports.hold("a", f"{mine}:{port}")

    with pytest.raises(AddressError, match=f"b = .*:{port}, is in use"):
        others.hold("b", f"{theirs}:{port}")
    ports.close()
    others.hold("b", f"{theirs}:{port}")


@pytest.mark.parametrize(("mine", "theirs"), [("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "[::1]")])
def test_the_same_port_of_another_address_is_free(ports: Ports, others: Ports, mine: str, theirs: str):
    port = free_port()
    ports.hold("a", f"{mine}:{port}")
    others.hold("b", f"{theirs}:{port}")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_processes_of_the_holder_share_a_held_address_and_no_other_listens_there(ports: Ports, host: str):
    port = free_port()
    ports.hold("a", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    with pytest.raises(OSError, match="in use"):
        listening(host, port)

    for _ in range(2):  # again after all have ended, as when they are restarted
        with listening(host, port, reuse_port=True), listening(host, port, reuse_port=True):
            socket.create_connection(("127.0.0.1" if "." in host else "::1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1" if "." in host else "::1", port))


def test_a_port_that_was_just_used_can_be_held_at_once(ports: Ports):
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()  # closed first by the server, so that its port stays in TIME_WAIT
            assert b"" == client.recv(1)

    ports.hold("a", f"127.0.0.1:{port}")


def test_a_port_that_was_let_go_is_free(ports: Ports):
    address = ports.take()
    ports.release(address)
    listening("127.0.0.1", int(address.rpartition(":")[2])).close()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_a_port_that_was_let_go_stays_with_its_supervisor_when_nobody_listens(ports: Ports, others: Ports):
    address = ports.take()
    port = int(address.rpartition(":")[2])
    for _ in range(2):  # as often as its process is started
        ports.release(address)
        assert address != others.take(port)
        with pytest.raises(AddressError, match=f"b = 0.0.0.0:{port}, is in use"):
            others.hold("b", f"0.0.0.0:{port}")
        assert address == ports.hold("a", address)

    ports.close()
    assert address == others.take(port)


def test_the_kernel_never_gives_a_held_port_to_others(ports: Ports):
    held = set()
    for port in range(*ephemeral_ports(), 16):
        with contextlib.suppress(AddressError):
            held.add(int(ports.hold("a", f"127.0.0.1:{port}").rpartition(":")[2]))

    with contextlib.ExitStack() as grabbed:
        taken = {grabbed.enter_context(listening("127.0.0.1", 0)).getsockname()[1] for _ in range(300)}

    assert len(held) > 100
    assert not held & taken


def ephemeral_ports() -> tuple[int, int]:
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:  # noqa: PTH123 - a pseudo-file
        first, _ = map(int, file.read().split())
    return first, first + 16 * 200


def test_supervisors_that_run_at_the_same_time_never_get_the_same_port(ports: Ports, others: Ports):
    first = ports.take(free_port())
    assert first != others.take(int(first.rpartition(":")[2]))
    taken = [*(ports.take() for _ in range(20)), *(others.take() for _ in range(20))]
    assert 40 == len(set(taken))


@pytest.mark.parametrize(
    ("address", "why"),
    [("203.0.113.1:80", "this machine has no address 203.0.113.1"), ("no-such-host.invalid:80", "has no address")],
)
def test_an_address_that_this_machine_does_not_have_is_told_in_one_line(ports: Ports, address: str, why: str):
    with pytest.raises(AddressError) as raised:
        ports.hold("listen.grpc", address)

    assert raised.value.message.startswith(f"listen.grpc = {address}, ")
    assert why in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.skipif(os.getuid() != 0 or sys.platform != "linux", reason="only root becomes another user")
def test_another_user_is_refused_too_and_a_low_port_needs_the_right(ports: Ports):
    port = free_port()
    ports.hold("a", f"127.0.0.1:{port}")
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setuid(65534)
        said = []
        for address in (f"127.0.0.1:{port}", "127.0.0.1:81"):
            try:
                Ports().hold("b", address)
            except AddressError as error:
                said.append(error.message)
        os.write(writer, "\n".join(said).encode())
        os._exit(0)
    os.wait()

    in_use, forbidden = os.read(reader, 4096).decode().splitlines()
    assert f"b = 127.0.0.1:{port}, is in use" == in_use
    assert "b = 127.0.0.1:81, needs the right to listen on ports below 1024, which this user does not have" == forbidden


def test_an_address_that_is_let_go_is_free_for_anybody(ports: Ports):
    address = ports.take()
    ports.let_go(address)

    with contextlib.closing(Ports()) as others:
        assert address == others.hold("b", address)
