"""HTTP that no client library would send: bytes to a socket, and the answer read by the standard library."""

import contextlib
import http.client
import socket
from dataclasses import dataclass
from typing import Any

import orjson

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class RawAnswer:
    """Header names are lower case; the last of a repeated one counts."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def exchange(url: str, request: bytes, *, method: str = "POST") -> RawAnswer:
    """Send these bytes to `http://host:port`; `method` tells how to read the answer.

    A server may answer before it has read everything, and then close: what it said counts.
    """
    with connected(url) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        return read_answer(connection, method=method)


def connected(url: str) -> socket.socket:
    """A connection to `http://host:port`."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=TIMEOUT_S)


def read_answer(connection: socket.socket, *, method: str = "POST") -> RawAnswer:
    """One whole answer."""
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        answer.begin()
        body = answer.read()
        return RawAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
    finally:
        answer.close()


def request(path: str, body: bytes = b"", *headers: bytes, method: str = "POST") -> bytes:
    """The bytes of a request: the headers as given, and those that it needs besides."""
    lines = [
        f"{method} {path} HTTP/1.1".encode("latin-1"),
        b"host: localhost",
        b"connection: close",
        *headers,
    ]
    named = {line.partition(b":")[0].lower() for line in headers}
    if method == "POST" and not {b"content-length", b"transfer-encoding"} & named:
        lines.append(b"content-length: %d" % len(body))
    if method == "POST" and b"content-type" not in named:
        lines.append(b"content-type: application/json")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
