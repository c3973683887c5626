"""Asks a process whether it is ready: by TCP, HTTP or Redis's PING.

Lives here: one question with the answer yes or no, never an error.  Not here: how often to ask
(forebay.local.supervisor).
"""

import asyncio

from gateway.config.addresses import reachable_address, split_address
from gateway.discovery.probing.http_get import AnswerError, get_status

_TIMEOUT_S = 1.0
"""For one question; a process that takes longer is not ready yet."""
_OK = 200
_PONG = b"+PONG\r\n"
_ANSWER_BYTES = 64
"""Read of an answer; the first line of Redis's fits."""


async def accepts(address: str) -> bool:
    """Whether a process listens on `host:port`."""
    return await _beginning(address, b"") is not None


async def answers_ok(address: str, path: str) -> bool:
    """Whether GET `path` is answered with 200."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await get_status(reachable_address(address), path) == _OK
    except (OSError, TimeoutError, AnswerError):
        return False


async def redis_answers(address: str) -> bool:
    """Whether Redis serves; while it loads its data it answers PING with an error."""
    return await _beginning(address, b"PING\r\n") == _PONG


async def _beginning(address: str, question: bytes) -> bytes | None:
    """Return the beginning of the answer, nothing when nothing was asked, and None when nobody answers."""
    host, port = split_address(reachable_address(address))
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(question)
                return await reader.read(_ANSWER_BYTES) if question else b""
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
