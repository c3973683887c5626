"""Conversations with a Kubernetes API server: recorded from the real one, kept as files, and held again.

Lives here: the values, a proxy that records, a double that answers as recorded.  Not here: what is said (tests).  The
double answers each request with the next recorded answer to the same request.  A part of an answer is held back until
as many requests have begun as when it was recorded, so that an event is told after what caused it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

KEPT_HEADERS = ("content-type", "retry-after")
ANY = "*"
"""The body of a recorded request that stands for any: of what is written by hand about times and random names."""
UNEXPECTED = 599
"""The status with which the double answers what nobody recorded: none that a server uses."""


class Request(NamedTuple):
    method: str
    target: str
    body: str = ""
    media_type: str = ""


class Piece(NamedTuple):
    """A part of an answer, and how many requests had begun when it came, its own among them."""

    after: int
    data: str


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    is_open: bool = False  # had not ended when the conversation did, as a watch's


def answer(*data: str, status: int = 200, is_open: bool = False, **headers: str) -> Answer:
    """An answer written by hand, all of which may be sent at once."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, [Piece(0, one) for one in data], is_open)


Exchange = tuple[Request, Answer]


def save(path: Path, exchanges: Iterable[Exchange]) -> None:
    """Write a conversation, an exchange per line."""
    lines = (json.dumps({"request": asked, "answer": asdict(told)}) for asked, told in exchanges)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def load(path: Path) -> list[Exchange]:
    """Read a conversation."""
    return [_exchange(**json.loads(line)) for line in path.read_text().splitlines()]


def _exchange(request: Sequence[str], answer: dict[str, object]) -> Exchange:
    pieces = [Piece(*piece) for piece in answer.pop("pieces")]
    return Request(*request), Answer(**answer, pieces=pieces)


class Double:
    """A server that answers as recorded; `asked` are the requests so far."""

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._left = list(exchanges)
        self._changed = asyncio.Condition()
        self.asked: list[Request] = []

    @property
    def unsaid(self) -> list[Request]:
        """The recorded requests that nobody made."""
        return [request for request, _ in self._left]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's one request."""
        request = await _read_request(reader)
        told = self._take(request)
        async with self._changed:
            self.asked.append(request)
            self._changed.notify_all()
        _write_head(writer, told)
        for piece in told.pieces:
            async with self._changed:
                await self._changed.wait_for(lambda after=piece.after: len(self.asked) >= after)
            writer.write(piece.data.encode())
            await writer.drain()
        if told.is_open:
            await reader.read()

    def _take(self, request: Request) -> Answer:
        for index, (recorded, told) in enumerate(self._left):
            if recorded in {request, request._replace(body=ANY)}:
                del self._left[index]
                return told
        return answer(f"nobody recorded {request}", status=UNEXPECTED)


class Recorder:
    """A proxy that notes every exchange."""

    def __init__(self, upstream: httpx.AsyncClient) -> None:
        self._upstream = upstream
        self.exchanges: list[Exchange] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request on and its answer back."""
        request = await _read_request(reader)
        told = Answer(is_open=True)
        self.exchanges.append((request, told))
        headers = {"content-type": request.media_type}
        async with self._upstream.stream(
            request.method, request.target, content=request.body, headers=headers
        ) as response:
            told.status = response.status_code
            told.headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
            _write_head(writer, told)
            async for data in response.aiter_text():
                told.pieces.append(Piece(len(self.exchanges), data))
                writer.write(data.encode())
                await writer.drain()
        told.is_open = False


@asynccontextmanager
async def served(by: Double | Recorder) -> AsyncIterator[str]:
    """Serve for the length of a block; yields the URL."""

    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(by.serve(reader, writer))
        tasks.append(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await task
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, body.decode(), headers.get("content-type", ""))


def _write_head(writer: asyncio.StreamWriter, told: Answer) -> None:
    """Write the head of an answer that ends with its connection."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in told.headers.items())
    writer.write(f"HTTP/1.1 {told.status} Recorded\r\n{headers}connection: close\r\n\r\n".encode())
