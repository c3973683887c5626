"""Asking a process whether it is ready: by TCP, HTTP or Redis's PING.

Lives here: one question, one answer, never an error.  Not here: how often to ask (forebay.local.supervisor).
"""

import asyncio

from gateway.config.addresses import split_address

_TIMEOUT_S = 1.0
"""For one question; a process that takes longer is not ready yet."""
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a listener on all addresses is asked
_ANSWER_BYTES = 64
"""The first line of an answer fits."""


async def accepts(address: str) -> bool:
    """Whether somebody listens on `host:port`."""
    return await _ask(address, b"") is not None


async def answers_ok(address: str, path: str) -> bool:
    """Whether GET `path` is answered with 200."""
    request = f"GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    answer = await _ask(address, request.encode())
    return answer is not None and answer.split(b" ")[1:2] == [b"200"]


async def redis_answers(address: str) -> bool:
    """Whether Redis serves; it answers PING with an error while it loads its data."""
    return await _ask(address, b"PING\r\n") == b"+PONG\r\n"


async def _ask(address: str, question: bytes) -> bytes | None:
    """The beginning of the answer (nothing, when nothing was asked); None when nobody answers."""
    host, port = split_address(address)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(_REACHED_AT.get(host, host), port)
            try:
                writer.write(question)
                return await reader.read(_ANSWER_BYTES) if question else b""
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
