"""An API in the cloud: OpenAI's paths behind TLS, on a thread of its own, with a record of what it was sent."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.support.certificates import Pair


class Sent(NamedTuple):
    """One request as the API got it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Answer(NamedTuple):
    """An answer in place of the usual one."""

    status: int
    body: bytes
    headers: dict[str, str]


class Provider:
    """A running API.  `answer` None: completions of the model that was asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.sent: list[Sent] = []
        self.answer: Answer | None = None

    @property
    def url(self) -> str:
        """The address of its API; the name is that of its certificate."""
        return f"https://localhost:{self.port}/openai/v1beta"


HEADERS = {"x-ratelimit-remaining-requests": "1", "openai-organization": "org-ours", "set-cookie": "a=b"}
"""Headers of every answer, all about the account, which all clients share."""


@contextlib.contextmanager
def a_provider(certificate: Pair) -> Iterator[Provider]:
    """Run it on a free port until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            provider.sent.append(Sent(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            if provider.answer is not None:
                self._reply(*provider.answer)
            elif body.get("stream"):
                events = [_event(body, text) for text in ("Hel", "lo")] + [b"data: [DONE]\n\n"]
                self._reply(200, b"".join(events), {"content-type": "text/event-stream"})
            else:
                self._reply(200, json.dumps(_completion(body)).encode(), {"content-type": "application/json"})

        def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**HEADERS, **headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests read what was sent, not a log."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that do not trust the certificate, or leave, are no errors of the API."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="provider")
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    message = {"role": "assistant", "content": "Hello from the cloud"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}


def _event(body: dict[str, Any], text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = {"id": "c1", "object": "chat.completion.chunk", "model": body["model"], "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
