"""The load generator: keep-alive connections on uvloop that send prepared bytes and count answers.

Lives here: the three shapes of load.  Not here: what is sent (workloads) or what is measured around it (measure).
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import cast

import httptools

from bench.workloads import RATE, SPREAD_S, STREAMS, Shape, Workload

ANSWER_TIMEOUT_S = 60.0
"""Seconds beyond a run's length after which a run fails instead of hanging (chosen: far longer than any answer)."""
_OK = 200


class BadAnswerError(Exception):
    """An answer was not a 200, so the figures would be those of refusals."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a run: how many answers in how many seconds, and the latency of each in seconds."""

    answers: int
    seconds: float
    latencies: Sequence[float]


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body = b""
        self.pod = ""
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class, the same interface

    def send(self, request: bytes) -> Awaitable[None]:
        """Send a request; the result is set at the last byte of the answer.  Raises BadAnswerError."""
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        """Parse what arrived (asyncio)."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the answer that is still awaited (asyncio)."""
        if not self._answered.done():
            self._answered.set_exception(BadAnswerError(f"connection closed before the answer ended: {exc}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the name of the pod that answers (httptools)."""
        if name == b"target-pod":
            self.pod = value.decode()

    def on_body(self, body: bytes) -> None:
        """Keep the last piece for an error message (httptools)."""
        self._body = body

    def on_message_complete(self) -> None:
        """Conclude the answer (httptools)."""
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if status == _OK:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(BadAnswerError(f"status {status}: {self._body[:300]!r}"))


class Client:
    """A pool of connections to one port, which grows when all are busy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._all: list[Connection] = []
        self._idle: list[Connection] = []
        self._loop = asyncio.get_running_loop()

    async def open(self, count: int) -> None:
        """Open connections until `count` are idle."""
        self._idle += [await self._connect() for _ in range(count - len(self._idle))]

    async def _connect(self) -> Connection:
        _, connection = await self._loop.create_connection(Connection, "127.0.0.1", self._port)
        self._all.append(connection)
        return connection

    async def send(self, request: bytes) -> float:
        """Send a request and return the seconds until the last byte of its answer."""
        sent = monotonic()  # uvloop's clock has a resolution of a millisecond
        connection = self._idle.pop() if self._idle else await self._connect()
        await connection.send(request)
        self._idle.append(connection)
        return monotonic() - sent

    async def send_at_once(self, request: bytes, count: int) -> list[str]:
        """Send the same request on so many idle connections, and return the names of the pods that answered."""
        connections = self._idle[:count]
        await asyncio.gather(*(connection.send(request) for connection in connections))
        return [connection.pod for connection in connections]

    async def close(self) -> None:
        """Close every connection, answered or not."""
        for connection in self._all:
            connection.transport.abort()
        await asyncio.sleep(0)  # transports close in the loop's next iteration


async def run(workload: Workload, port: int, seconds: float) -> Load:
    """Run a workload against `port`, for `seconds` unless its shape has a fixed length.  Raises BadAnswerError."""
    client = Client(port)
    started = monotonic()
    try:
        async with asyncio.timeout(seconds + ANSWER_TIMEOUT_S):
            match workload.shape:
                case Shape.SATURATE:
                    latencies = await _saturate(client, workload, seconds)
                case Shape.STAGGER:
                    latencies = await at_intervals(client, workload.request(), STREAMS, SPREAD_S / STREAMS)
                case Shape.PACE:
                    latencies = await at_intervals(client, workload.request(), int(RATE * seconds), 1 / RATE)
    finally:
        await client.close()
    return Load(len(latencies), monotonic() - started, latencies)


async def _saturate(client: Client, workload: Workload, seconds: float) -> list[float]:
    await client.open(workload.connections)
    request = workload.request()
    end = monotonic() + seconds
    latencies: list[float] = []

    async def send_again() -> None:
        while monotonic() < end:
            latencies.append(await client.send(request))

    async with asyncio.TaskGroup() as group:
        for _ in range(workload.connections):
            group.create_task(send_again())
    return latencies


async def at_intervals(client: Client, request: bytes, count: int, interval_s: float) -> list[float]:
    """Send each request when it is due, so that a slow answer delays no later request."""
    started = monotonic()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(started + number * interval_s - monotonic())
            tasks.append(group.create_task(client.send(request)))
    return [task.result() for task in tasks]
