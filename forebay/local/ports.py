"""Addresses to listen on, held for as long as this process lives.

Lives here: holding an address, choosing a free port, what is said of an address that cannot be had.  Not here:
listening (each process listens on its own), who listens on a port (forebay.local.port_owner).
"""

import errno
import random
import socket
import sys
import time
from itertools import chain

import click

from forebay.local.port_owner import port_owner
from gateway.config.addresses import split_address

LOOPBACK = "127.0.0.1"
_CHOICE = range(20_000, 32_768)
"""Ports to choose from: below Linux's ephemeral ports, of which the kernel gives any to any client at any time."""

_ENDING_S = 0.5
"""How long an address in use is tried again (chosen): the processes of a killed supervisor end a moment after it."""
_PAUSE_S = 0.05


class AddressError(click.ClickException):
    """An address cannot be listened on; click shows the message as one line."""


class Ports:
    """Holds addresses: no other process can listen there, except the processes that this one starts.

    A socket that is bound to the address and does not listen holds it: the kernel knows which addresses overlap (one on
    all interfaces, IPv6 beside IPv4), and lets go however this process ends.  While no process listens, connections are
    refused at once.  A process that is started listens beside it with SO_REUSEPORT, which the kernel allows to the same
    user.
    """

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}
        self._claims: dict[str, socket.socket] = {}

    def hold(self, setting: str, address: str) -> str:
        """Hold an address and return it.  Raises AddressError, which names the setting and who listens there."""
        deadline = time.monotonic() + _ENDING_S
        while True:
            try:
                self._hold(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise AddressError(f"{setting} = {address}, {_reason(address, error)}") from error
                time.sleep(_PAUSE_S)
            else:
                return address

    def take(self, preferred: int = 0) -> str:
        """Hold a loopback port, the preferred one when it is free, and return `127.0.0.1:port`."""
        start = random.randrange(len(_CHOICE))  # noqa: S311  # no secret
        for port in chain([preferred] if preferred else [], _CHOICE[start:], _CHOICE[:start]):
            address = f"{LOOPBACK}:{port}"
            try:
                self._hold(address)
            except OSError:
                continue
            return address
        raise AddressError(f"no port of {_CHOICE.start} to {_CHOICE.stop - 1} is free on {LOOPBACK}")

    def _hold(self, address: str) -> None:
        """Raises OSError when somebody listens there, holds it or has claimed it."""
        if address not in self._claims and _is_claimed(address):
            raise OSError(errno.EADDRINUSE, "another supervisor has claimed it")
        self._held[address] = _held_socket(address)

    def release(self, address: str) -> None:
        """Let go of an address, for a process that cannot listen beside the holder, but claim it.

        While that process is started again nobody listens there.  Without the claim another supervisor could take the
        address in that moment, and the two would serve each other's users.
        """
        if address not in self._claims and sys.platform == "linux":
            self._claims[address] = _claim(address)
        self._held.pop(address).close()

    def let_go(self, address: str) -> None:
        """Let go of an address for good."""
        self._held.pop(address).close()

    def close(self) -> None:
        """Let go of all addresses."""
        for holders in (self._held, self._claims):
            for holder in holders.values():
                holder.close()
            holders.clear()


def _claim(address: str) -> socket.socket:
    """Claim a port among supervisors, until this process ends: an abstract socket, which leaves no file behind."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    claim.bind(_claim_name(address))
    return claim


def _is_claimed(address: str) -> bool:
    if sys.platform != "linux":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(_claim_name(address)) == 0


def _claim_name(address: str) -> str:
    """Return a name in Linux's abstract namespace."""
    return f"\0forebay-port-{split_address(address)[1]}"


def _held_socket(address: str) -> socket.socket:
    host, port = split_address(address)
    family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier run may still be in TIME_WAIT on the port; they do not hinder.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(where)
        holder.listen(1)  # fails when anybody listens on this address or holds it; bind alone would not
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # nobody else may listen from now on
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # but this user's processes that share the port
        holder.shutdown(socket.SHUT_RDWR)  # stops listening and stays bound
    except OSError:
        holder.close()
        raise
    return holder


def _reason(address: str, error: OSError) -> str:
    host, port = split_address(address)
    if error.errno == errno.EADDRINUSE:
        return f"is in use{port_owner(port)}"
    if error.errno == errno.EACCES:
        return "needs the right to listen on ports below 1024, which this user does not have"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}"
    if isinstance(error, socket.gaierror):
        return f"the name {host} has no address"
    return f"cannot be listened on: {error.strerror}"
