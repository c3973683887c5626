"""The engine of the benchmark: canned OpenAI answers from a bare asyncio protocol, so that it takes little CPU.

`python -m bench.backend PORT...`.  A header of the request chooses the answer; health checks, scrapes and questions for
models have answers of their own, and everything else in a request is ignored.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import httptools
import orjson
import uvloop

from bench.workloads import ANSWER_HEADER, CHUNK_PACE_S, CHUNKS, MODEL, SOON_S, STREAM_S, Answer

_USAGE = {"prompt_tokens": 50, "completion_tokens": CHUNKS, "total_tokens": 50 + CHUNKS}
_ANSWER_HEADER = ANSWER_HEADER.encode()
PAGE = Path(__file__).resolve().parent.parent / "tests/gateway/discovery/probing/recordings/metrics_idle_full.prom"
"""The metrics page of a real vLLM 0.32."""


def _answer(body: bytes, content_type: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "This is a test!"}, "finish_reason": "stop"}
    fields = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": MODEL}
    return _answer(orjson.dumps(fields | {"choices": [choice], "usage": _USAGE}))


def _event(data: bytes) -> bytes:
    """Return a server-sent event as one HTTP chunk."""
    event = b"data: " + data + b"\n\n"
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def _chunk(choices: list[dict[str, object]], usage: dict[str, int] | None) -> bytes:
    fields = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return _event(orjson.dumps(fields | {"choices": choices, "usage": usage}))


WHOLE = _whole()
PROBED = {
    b"/health": _answer(b""),
    b"/metrics": _answer(PAGE.read_bytes(), "text/plain; version=0.0.4"),
    b"/v1/models": _answer(orjson.dumps({"object": "list", "data": [{"id": MODEL, "max_model_len": 131_072}]})),
}
"""Answers to the gateway's own questions, by path."""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TOKEN = _chunk([{"index": 0, "delta": {"content": " test"}, "finish_reason": None}], None)
STREAM_END = _chunk([], _USAGE) + _event(b"[DONE]") + b"0\r\n\r\n"


class Backend(asyncio.Protocol):
    """A connection that serves one request at a time, as Envoy sends them."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._expect(Answer.NOW)

    def _expect(self, answer: Answer) -> None:
        self._answer = answer
        self._probed: bytes | None = None
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class, the same interface

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a stream whose reader has left (asyncio)."""
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived (asyncio)."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Read what is asked (httptools)."""
        self._probed = PROBED.get(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read which answer is wanted (httptools)."""
        if name == _ANSWER_HEADER:
            self._answer = Answer(value.decode())

    def on_message_complete(self) -> None:
        """Answer the complete request (httptools)."""
        if self._probed is not None:
            self.transport.write(self._probed)
            return
        match self._answer:
            case Answer.NOW:
                self.transport.write(WHOLE)
            case Answer.SOON:
                self._timer = self._loop.call_later(SOON_S, self.transport.write, WHOLE)
            case Answer.SLOW:
                self._timer = self._loop.call_later(STREAM_S, self.transport.write, WHOLE)
            case Answer.STREAM:
                self.transport.write(STREAM_HEAD)
                self._stream(self._loop.time(), sent=0)
        self._answer = Answer.NOW

    def _stream(self, started: float, sent: int) -> None:
        """Write the next event and schedule the one after it at an absolute time, so that delays do not add up."""
        if sent == CHUNKS:
            self.transport.write(STREAM_END)
            return
        self.transport.write(TOKEN)
        due = started + (sent + 1) * CHUNK_PACE_S
        self._timer = self._loop.call_at(due, self._stream, started, sent + 1)


async def serve(ports: Sequence[int]) -> None:
    """Answer until cancelled."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Backend, "127.0.0.1", port, backlog=1024) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
