"""Bytes over HTTP: ranges of files, with retries, time-outs, bounded redirects and errors in one line.

Lives here: one request, what its answer means, and trying again.  Not here: which parts are wanted, where they are kept
(runtime.downloads.fetching).
"""

import random
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import httpx

from runtime.downloader import DownloadError
from runtime.downloads.files import Address
from runtime.downloads.locations import shown
from runtime.downloads.settings import Settings

REDIRECTS = 10
"""Chosen: the Hub needs 2, signed addresses none."""
CONNECT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
WAIT_AND_SEE = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})
"""Statuses that may be others soon: RFC 9110, RFC 6585, and those of proxies."""
REASONS = {
    401: "the source wants credentials, or refuses these",
    403: "the source refuses these credentials",
    404: "there is no such file",
    410: "the file is gone",
    412: "the file changed at the source meanwhile; try again",
    416: "the file is shorter than the source said; try again",
}
STATUSES = {401: 401, 403: 403, 404: 404, 410: 404}
"""Status of the source -> status of the error; of all others 502."""

EMPTY = "bytes */0"
"""Content-Range of the answer 416 to the first byte of an empty file (RFC 9110, section 14.4)."""

T = TypeVar("T")


class PassingError(Exception):
    """A failure that may not come again; `error` is raised if it does."""

    def __init__(self, error: DownloadError, pause_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s


class Retrying:
    """Tries again after failures that pass, with pauses that grow, until told to stop."""

    def __init__(self, retries: int, stop: Event, rng: random.Random) -> None:
        self._retries = retries
        self._stop = stop
        self._rng = rng

    def check(self) -> None:
        """Raise DownloadError where the download was stopped."""
        if self._stop.is_set():
            raise DownloadError("stopped; the same call goes on where it stood")

    def call(self, action: Callable[[], T], progress: Callable[[], object] = lambda: None) -> T:
        """Return what `action` returns; it may raise PassingError so many times in a row without progress."""
        failures, before = 0, progress()
        while True:
            self.check()
            try:
                return action()
            except PassingError as passing:
                if (now := progress()) != before:
                    failures, before = 0, now
                if failures >= self._retries:
                    raise passing.error from passing
                pause_s = min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S) * self._rng.uniform(0.5, 1.0)
                failures += 1
                self._stop.wait(max(pause_s, min(passing.pause_s, LONGEST_PAUSE_S)))


class Transfer:
    """An HTTP client for the files of one artifact; used by many threads."""

    def __init__(self, settings: Settings) -> None:
        self._client = httpx.Client(
            follow_redirects=True,
            max_redirects=REDIRECTS,
            timeout=httpx.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s), pool=None),
            limits=httpx.Limits(max_connections=settings.num_threads, max_keepalive_connections=settings.num_threads),
            headers={"accept-encoding": "identity", "user-agent": "forebay"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(self, address: Address) -> httpx.Response:
        """Return the whole answer, which must be small.  Raises PassingError and DownloadError."""
        with self.answer(address) as response, _failures(address.url):
            response.read()
            return response

    @contextmanager
    def answer(self, address: Address, start: int = 0, end: int | None = None) -> Iterator[httpx.Response]:
        """Yield an answer that is good, for the bytes from `start` to before `end`, of a whole file for 0 and None.

        Raises PassingError and DownloadError.
        """
        headers = dict(address.headers)
        if start or end is not None:
            headers["range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with _failures(address.url), self._client.stream("GET", address.url, headers=headers) as response:
            _check(response, address.url)
            yield response

    def blocks(self, response: httpx.Response, url: str) -> Iterator[bytes]:
        """Yield the bytes of an answer as they were sent.  Raises PassingError where it breaks off."""
        with _failures(url):
            yield from response.iter_raw()


def _check(response: httpx.Response, url: str) -> None:
    """Raise what an answer that is not good means."""
    status = response.status_code
    if response.is_success or response.headers.get("content-range") == EMPTY:
        return
    reason = REASONS.get(status, "the source fails" if response.is_server_error else "the source refuses")
    error = DownloadError(f"{shown(url)}: {reason} (HTTP {status})", STATUSES.get(status, 502))
    if status in WAIT_AND_SEE:
        wait = response.headers.get("retry-after", "")
        raise PassingError(error, float(wait) if wait.isdecimal() else 0.0)
    raise error


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Turn errors of the client into ours.  What they say may name an address with credentials, so it is not shown."""
    try:
        yield
    except httpx.TooManyRedirects as error:
        raise DownloadError(f"{shown(url)}: more than {REDIRECTS} redirects") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise DownloadError(f"{shown(url)}: redirects to an address that is not HTTP") from error
    except httpx.TimeoutException as error:
        raise PassingError(DownloadError(f"{shown(url)}: no answer in time")) from error
    except httpx.ConnectError as error:
        if isinstance(error.__cause__ and error.__cause__.__cause__, ssl.SSLCertVerificationError):
            raise DownloadError(f"{shown(url)}: the certificate cannot be trusted") from error
        raise PassingError(DownloadError(f"{shown(url)}: cannot connect")) from error
    except httpx.HTTPError as error:
        raise PassingError(DownloadError(f"{shown(url)}: the connection broke off")) from error
