"""Readiness probes of a process: TCP, HTTP, or Redis's PING.

Lives here: one probe, whose answer is yes or no and never an error.  Not here: how often to probe
(forebay.local.supervision.supervisor).
"""

import asyncio

from gateway.config.addresses import reachable_address, split_address
from gateway.discovery.probing.http_get import AnswerError, get_status

_TIMEOUT_S = 1.0
"""Time limit of one probe, in seconds (chosen); a process that takes longer is not ready yet."""
_OK = 200
_PONG = b"+PONG\r\n"
_REPLY_BYTES = 64
"""How much of a reply is read, in bytes; the first line of Redis's reply fits."""


async def accepts(address: str) -> bool:
    """Return whether a process accepts connections on `host:port`."""
    return await _reply_start(address, b"") is not None


async def answers_ok(address: str, path: str) -> bool:
    """Return whether GET `path` answers 200."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await get_status(reachable_address(address), path) == _OK
    except (OSError, TimeoutError, AnswerError):
        return False


async def redis_answers(address: str) -> bool:
    """Return whether Redis serves; while it loads its data it answers PING with an error."""
    return await _reply_start(address, b"PING\r\n") == _PONG


async def _reply_start(address: str, request: bytes) -> bytes | None:
    """Return the first bytes of the reply, b"" when the request is empty, or None when the connection fails."""
    host, port = split_address(reachable_address(address))
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.read(_REPLY_BYTES) if request else b""
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
