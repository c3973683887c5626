"""Readings of a gateway's page /debug/fleet: the pods as it sees them, once a second.

Lives here: fetching it.  Not here: what it tells (optimizer.profiling.live).
"""

import time
from collections.abc import Sequence
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

PATH = "/debug/fleet"
INTERVAL_S = 1.0
TIMEOUT_S = 10.0


def readings(url: str, token: str, duration_s: float) -> Sequence[bytes]:
    """Return the pages of so many seconds, at least one.  Raises OSError that names the URL."""
    if not url.startswith(("http://", "https://")):
        raise OSError(f"{url}: must begin with http:// or https://")
    pages = [_page(url, token)]
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s:
        time.sleep(INTERVAL_S)
        pages.append(_page(url, token))
    return pages


def _page(url: str, token: str) -> bytes:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = Request(url.rstrip("/") + PATH, headers=headers)  # noqa: S310 - the scheme is checked
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        raise OSError(f"{url}{PATH}: status {error.code}: {error.read()[:200].decode(errors='replace')}") from error
    except OSError as error:
        raise OSError(f"{url}{PATH}: {getattr(error, 'reason', None) or error}") from error
