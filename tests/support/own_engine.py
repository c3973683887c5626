"""An engine of the tests' own: keeps every byte it was sent and answers what it is told, one thread per connection."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO

import orjson


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def usage_reply(prompt_tokens: int = 7, completion_tokens: int = 5, **headers: str) -> Reply:
    """A chat answer that used this."""
    total = prompt_tokens + completion_tokens
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body=orjson.dumps({"id": "own", "choices": [], "usage": usage}), headers=named)


@dataclass
class OwnEngine:
    """A running engine; `answer` may be replaced at any time."""

    address: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Reply] = lambda _: usage_reply()

    def reset(self) -> None:
        """Forget what was received, answer as at first."""
        self.received.clear()
        self.answer = lambda _: usage_reply()

    @property
    def only(self) -> Received:
        """The one request there was."""
        [received] = self.received
        return received


def read_body(headers: Message, stream: BinaryIO) -> bytes:
    """The body of a request, of a stated length or chunked."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


@contextlib.contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """Serves on a free loopback port until the block ends."""
    engine = OwnEngine()

    connections: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            connections.discard(self.connection)
            super().finish()

        def do_GET(self) -> None:
            self._send(Reply(headers={}, body=b""))  # /health

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.command, self.path, headers, read_body(self.headers, self.rfile))
            engine.received.append(received)
            self._send(engine.answer(received))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            headers = {"content-type": "application/json", "content-length": str(len(reply.body)), **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    engine.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="own engine")
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for connection in tuple(connections):  # an engine that is gone answers nobody, also on what was open before
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
