"""Pages of metrics by HTTP: of pods and of other servers.

Lives here: asking, and the bounds of time and size.  Not here: which pages, what is read from them (observer).
"""

import asyncio
import ssl
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx2

from autoscaling.exposition import Exposition, NoExpositionError, parse
from autoscaling.spec import Source

ANSWER_S = 2.0
"""Time that a whole page may take, in seconds (chosen: decisions come every 2 s and more, and wait for it)."""
MOST_BYTES = 8 << 20
"""The longest page that is read (chosen: engines send 50 kB, those with many adapters ten times as much)."""
MOST_AT_ONCE = 64
"""Pages that are asked for at a time (chosen: far below the limit of open files)."""


class SourceError(Exception):
    """A source has no value; the message is a sentence that says what was asked, and what came instead."""


def url(source: Source, host: str, port: str = "") -> str:
    """Return the URL of a source's page at a host, whose port may be in its name."""
    address = f"[{host}]" if ":" in host and port else host
    path = source.path if source.path.startswith("/") else f"/{source.path}"
    return f"{source.protocol}://{address}{port and f':{port}'}{path}"


class Pages:
    """Asks for pages, each on a connection of its own: an idle one that the server has closed proves nothing.

    The certificate of a server that is known by a name is checked; that of a pod cannot be, for it is asked by its
    address, as kubelets ask.
    """

    def __init__(self) -> None:
        unchecked = ssl.create_default_context()
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        self._pods, self._servers = _client(unchecked), _client(ssl.create_default_context())
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._pods.aclose()
        await self._servers.aclose()

    async def of_pod(self, address: str) -> Exposition:
        """Return the page at the URL of a pod.  Raises SourceError."""
        return await self._read(self._pods, address)

    async def of_server(self, address: str) -> Exposition:
        """Return the page at any other URL.  Raises SourceError."""
        return await self._read(self._servers, address)

    async def _read(self, client: httpx2.AsyncClient, address: str) -> Exposition:
        try:
            async with self._turns, asyncio.timeout(ANSWER_S):
                return parse(await _body(client, address))
        except TimeoutError as error:
            raise SourceError(f"{address}: no answer in {ANSWER_S:g} s") from error
        except NoExpositionError as error:
            raise SourceError(f"{address}: {error}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, ValueError) as error:
            raise SourceError(f"{address}: {str(error) or type(error).__name__}") from error


def _client(tls: ssl.SSLContext) -> httpx2.AsyncClient:
    headers = {"accept": "text/plain", "accept-encoding": "identity", "user-agent": "forebay"}
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.AsyncClient(verify=tls, headers=headers, limits=limits, timeout=None, trust_env=False)


async def _body(client: httpx2.AsyncClient, address: str) -> bytes:
    """Return the body of an answer 200, as it was sent.  Raises SourceError for another, or one that is too long."""
    async with client.stream("GET", address) as answer:
        if answer.status_code != HTTPStatus.OK:
            raise SourceError(f"{address}: answered {answer.status_code} {answer.reason_phrase}".rstrip())
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > MOST_BYTES:
                raise SourceError(f"{address}: the page has more than {MOST_BYTES} bytes")
    return bytes(body)
