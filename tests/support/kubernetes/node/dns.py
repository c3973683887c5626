"""The smallest DNS server (RFC 1035): one question, addresses of IPv4, no EDNS.

Lives here: messages.  Not here: what there is to know (services).
"""

import asyncio
import socket
from collections.abc import Callable

PORT = 53
HEAD = 12
"""Bytes before the question."""
ADDRESS_QUESTION = b"\0\1"
IS_ANSWER, NO_SUCH_NAME = b"\x85\x80", b"\x85\x83"
POINTER_TO_NAME = b"\xc0\x0c"
ADDRESS_FOR_A_SECOND = b"\0\1\0\1\0\0\0\1\0\4"

Resolve = Callable[[tuple[str, ...]], list[str] | None]
"""Labels of a name -> its addresses, None where there is no such name."""


def answer(message: bytes, resolve: Resolve) -> bytes:
    """Return the answer to a message.  Another question than for addresses of a name that there is has none."""
    labels, at = [], HEAD
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode().lower())
        at += length + 1
    found = resolve(tuple(labels)) if len(labels) > 1 else None
    given = found if found and message[at + 1 : at + 3] == ADDRESS_QUESTION else []
    records = b"".join(POINTER_TO_NAME + ADDRESS_FOR_A_SECOND + socket.inet_aton(one) for one in given)
    state = NO_SUCH_NAME if found is None else IS_ANSWER
    counts = b"\0\1" + len(given).to_bytes(2, "big") + bytes(4)
    return message[:2] + state + counts + message[HEAD : at + 5] + records


class Answers(asyncio.DatagramProtocol):
    """Answers every message."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # of datagrams
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        self._transport.sendto(answer(data, self._resolve), peer)
