"""One GET of a page of an engine or a gateway.

Lives here: its time limit and the words for failures.  Not here: the HTTP request (gateway.discovery.probing.http_get).
"""

import asyncio
import os

from gateway.discovery.probing.http_get import AnswerError, Response, get

TIMEOUT_S = 3.0
"""The longest wait for one answer (chosen: an engine that computes a long prompt may answer late)."""
PAGE_BYTES = 16 * 1024 * 1024
"""The longest page that is read (chosen: a metrics page of vLLM has some 100 kB)."""
OK = 200


class NoAnswerError(Exception):
    """There is no answer; the message says why."""


async def ask(address: str, path: str) -> Response:
    """GET a page.  Raises NoAnswerError."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await get(address, path, limit_bytes=PAGE_BYTES)
    except TimeoutError:
        raise NoAnswerError(f"{address} gives no answer in {TIMEOUT_S:g} s") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)  # asyncio's own text repeats the address
        raise NoAnswerError(f"{address} cannot be reached: {why.lower()}") from None
    except AnswerError as error:
        raise NoAnswerError(f"{address} does not speak HTTP: {error}") from None
