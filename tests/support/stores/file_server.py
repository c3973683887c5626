"""An HTTP server of files with ranges, on loopback, which counts the bytes that it sends and fails as it is told."""

import hashlib
import json
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 64 * 1024


@dataclass
class Site:
    """The files, and how they are answered."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Path -> content."""
    pages: dict[str, Any] = field(default_factory=dict)
    """Path -> a JSON value, or a status, or a status and headers."""
    redirects: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path -> more headers of its answers; an empty value takes one away."""
    failures: dict[str, deque[Any]] = field(default_factory=dict)
    """Path -> statuses with which the next requests fail, or bytes after which they break off."""
    has_ranges: bool = True
    token: str = ""
    """The bearer token that every request must have; empty for none."""
    hold_after: int | None = None
    """Bytes of all answers after which nothing is sent until `released`."""
    released: threading.Event = field(default_factory=threading.Event)
    sent: Counter[str] = field(default_factory=Counter)
    """Path -> bytes of its content that were sent."""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path with query, and headers in lower case, of every request."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def fail(self, path: str, *how: Any) -> None:
        """Have the next requests of a path fail so."""
        self.failures.setdefault(path, deque()).extend(how)

    @property
    def total(self) -> int:
        """All bytes of contents that were sent."""
        return self.sent.total()


@contextmanager
def file_server(site: Site, host: str = "127.0.0.1") -> Iterator[Site]:
    """Serve a site until the block ends."""
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    site.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer without a content."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer."""
        site = self.site
        path = self.path.partition("?")[0]
        site.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        with site.lock:
            waiting = site.failures.get(path)
            failure = waiting.popleft() if waiting else None
        if site.token and self.headers.get("authorization") != f"Bearer {site.token}":
            self._end(401)
        elif isinstance(failure, int):
            self._end(failure)
        elif path in site.redirects:
            self._end(302, {"location": site.redirects[path]})
        elif path in site.pages:
            self._page(site.pages[path])
        elif path in site.files:
            self._file(site, path, site.files[path], failure)
        else:
            self._end(404)

    def _page(self, page: Any) -> None:
        if isinstance(page, Pages):
            page = page.pages.pop(0)
        if isinstance(page, int | tuple):
            self._end(*(page if isinstance(page, tuple) else (page,)))
        else:
            self._end(200, {"content-type": "application/json"}, json.dumps(page).encode())

    def _end(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, site: Site, path: str, content: bytes, failure: Any) -> None:
        headers = {"etag": f'"{hashlib.sha1(content).hexdigest()}"', "content-length": str(len(content))}
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", "")) if site.has_ranges else None
        status, wanted = 200, content
        if match:
            start, end = int(match[1]), int(match[2] or len(content)) + 1
            wanted = content[start:end]
            total = len(content)
            status = 206 if wanted else 416
            spot = f"{start}-{start + len(wanted) - 1}" if wanted else "*"
            headers |= {"content-range": f"bytes {spot}/{total}", "content-length": str(len(wanted))}
        headers |= site.headers.get(path, {})
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with suppress(ConnectionError):
            self._send(site, path, wanted, failure)

    def _send(self, site: Site, path: str, wanted: bytes, failure: Any) -> None:
        allowed = failure.bytes if isinstance(failure, Cut) else len(wanted)
        for start in range(0, allowed, BLOCK):
            block = wanted[start : min(start + BLOCK, allowed)]
            if site.hold_after is not None and site.total >= site.hold_after and not site.released.is_set():
                site.released.wait(30)
                self.close_connection = True
                return
            self.wfile.write(block)
            with site.lock:
                site.sent[path] += len(block)
        if allowed < len(wanted):
            self.close_connection = True


@dataclass
class Pages:
    """Values that are answered one after the other."""

    pages: list[Any]


@dataclass(frozen=True)
class Cut:
    """An answer that breaks off after so many bytes."""

    bytes: int
