"""The load generator: keep-alive connections on uvloop that send prepared bytes and count answers.

Lives here: the three shapes of load.  Not here: what is sent (workloads) or what is measured around it (measure).
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import cast

import httptools

from bench.workloads import CONNECTIONS, RATE, SPREAD_S, STREAMS, Shape, Workload

ANSWER_TIMEOUT_S = 60.0
"""Far beyond any answer; a benchmark that hangs says nothing."""
_OK = 200


class BadAnswerError(Exception):
    """Something other than 200: the figures would be those of refusals."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was done: how many answers in how many seconds, and each one's latency in seconds."""

    answers: int
    seconds: float
    latencies: Sequence[float]


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks one thing at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class, the same interface

    def ask(self, request: bytes) -> Awaitable[None]:
        """Send; the result comes with the last byte of the answer.  Raises BadAnswerError."""
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's; an answer that is still awaited will not come."""
        if not self._answered.done():
            self._answered.set_exception(BadAnswerError(f"connection closed before the answer ended: {exc}"))

    def on_body(self, body: bytes) -> None:
        """httptools'; the last piece is kept for the message of an error."""
        self._body = body

    def on_message_complete(self) -> None:
        """httptools'; the answer is whole."""
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if status == _OK:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(BadAnswerError(f"status {status}: {self._body[:300]!r}"))


class Client:
    """A pool of connections to one port; grows when all are busy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._all: list[Connection] = []
        self._idle: list[Connection] = []
        self._loop = asyncio.get_running_loop()

    async def open(self, count: int) -> None:
        """Have `count` idle connections."""
        self._idle += [await self._connect() for _ in range(count - len(self._idle))]

    async def _connect(self) -> Connection:
        _, connection = await self._loop.create_connection(Connection, "127.0.0.1", self._port)
        self._all.append(connection)
        return connection

    async def ask(self, request: bytes) -> float:
        """Seconds from the request to the last byte of the answer.  (The loop's own clock ticks in milliseconds.)"""
        sent = monotonic()
        connection = self._idle.pop() if self._idle else await self._connect()
        await connection.ask(request)
        self._idle.append(connection)
        return monotonic() - sent

    async def close(self) -> None:
        """Close every connection, answered or not."""
        for connection in self._all:
            connection.transport.abort()
        await asyncio.sleep(0)  # transports close in the loop's next turn


async def run(workload: Workload, port: int, seconds: float) -> Load:
    """Put the workload on `port`; `seconds` bounds it except where its shape does.  Raises BadAnswerError."""
    client = Client(port)
    started = monotonic()
    try:
        async with asyncio.timeout(seconds + ANSWER_TIMEOUT_S):
            match workload.shape:
                case Shape.SATURATE:
                    latencies = await _saturate(client, workload.request(), seconds)
                case Shape.STAGGER:
                    latencies = await _at_intervals(client, workload.request(), STREAMS, SPREAD_S / STREAMS)
                case Shape.PACE:
                    latencies = await _at_intervals(client, workload.request(), int(RATE * seconds), 1 / RATE)
    finally:
        await client.close()
    return Load(len(latencies), monotonic() - started, latencies)


async def _saturate(client: Client, request: bytes, seconds: float) -> list[float]:
    await client.open(CONNECTIONS)
    end = monotonic() + seconds
    latencies: list[float] = []

    async def ask_again() -> None:
        while monotonic() < end:
            latencies.append(await client.ask(request))

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(ask_again())
    return latencies


async def _at_intervals(client: Client, request: bytes, count: int, interval_s: float) -> list[float]:
    """Each request goes when it is due, however many are still unanswered: a slow answer delays none after it."""
    started = monotonic()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(started + number * interval_s - monotonic())
            tasks.append(group.create_task(client.ask(request)))
    return [task.result() for task in tasks]
