"""An engine of the tests' own: keeps every byte it was sent and answers what it is told, one thread per connection."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson

PROBED = ("/health", "/metrics", "/v1/models")
"""The paths that gateways ask every engine for; requests are not kept, and get nothing, `metrics` or `models`."""
PAUSE_S = 0.002
"""After a piece of an answer, so that it travels alone."""


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer with its length, or in `pieces`, each sent on its own."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = ()


def usage_reply(prompt_tokens: int = 7, completion_tokens: int = 5, **headers: str) -> Reply:
    """A chat answer that used this."""
    total = prompt_tokens + completion_tokens
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body=orjson.dumps({"id": "own", "choices": [], "usage": usage}), headers=named)


@dataclass
class OwnEngine:
    """A running engine; `answer`, its page of `metrics` and its list of `models` may be replaced at any time."""

    address: str = ""
    metrics: bytes = b""
    models: Reply = Reply(body=b"")
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, engine: OwnEngine) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine = engine
        self.connections: set[socket.socket] = set()
        engine.address = f"127.0.0.1:{self.server_address[1]}"

    def hang_up(self) -> None:
        """An engine that is gone answers nobody, also on connections that were open before."""
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(self.server.engine.models)
        elif self.path in PROBED:
            self._send(Reply(body=self.server.engine.metrics if self.path == "/metrics" else b""))
        else:
            self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, self._read())
        self.server.engine.received.append(received)
        self._send(self.server.engine.answer(received))

    def _read(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        framing = {"transfer-encoding": "chunked"} if reply.pieces else {"content-length": str(len(reply.body))}
        headers = {"content-type": "application/json", **framing, **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in reply.pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(PAUSE_S)
        self.wfile.write(b"0\r\n\r\n" if reply.pieces else reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@contextlib.contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """Serves on a free loopback port until the block ends."""
    engine = OwnEngine()
    server = _Server(engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="own engine")
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.hang_up()
