"""The load generator on the benchmark's backend: it counts every answer and fails on a refusal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench import backend
from bench.load import BadAnswerError, run
from bench.workloads import CONNECTIONS, LATENCY, RATE, SMALL, STREAM, STREAMS

REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 8\r\n\r\ntoo many"


class Refusing(backend.Backend):
    """Says 429 to everything."""

    def on_message_complete(self) -> None:
        self.transport.write(REFUSAL)


@asynccontextmanager
async def served(protocol: type[backend.Backend]) -> AsyncIterator[int]:
    connections: list[backend.Backend] = []

    def accept() -> backend.Backend:
        connections.append(protocol())
        return connections[-1]

    async with await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    for connection in connections:
        connection.transport.abort()
    await asyncio.sleep(0)


async def test_saturation_answers_on_every_connection():
    async with served(backend.Backend) as port:
        done = await run(SMALL, port, seconds=0.05)

    assert CONNECTIONS <= done.answers == len(done.latencies)


async def test_a_paced_run_sends_at_its_rate():
    async with served(backend.Backend) as port:
        done = await run(LATENCY, port, seconds=0.1)

    assert RATE // 10 == done.answers


async def test_a_stream_is_answered_at_its_last_chunk(monkeypatch):
    monkeypatch.setattr(backend, "CHUNK_PACE_S", 0.0001)
    async with served(backend.Backend) as port:
        done = await run(STREAM, port, seconds=1)

    assert STREAMS == done.answers


async def test_a_refusal_ends_the_run():
    async with served(Refusing) as port:
        with pytest.RaisesGroup(pytest.RaisesExc(BadAnswerError, match="429.*too many"), allow_unwrapped=True):
            await run(LATENCY, port, seconds=0.001 + 1 / RATE)


async def test_a_connection_that_closes_early_ends_the_run():
    class Closing(backend.Backend):
        def on_message_complete(self) -> None:
            self.transport.close()

    async with served(Closing) as port:
        with pytest.RaisesGroup(pytest.RaisesExc(BadAnswerError, match="closed"), allow_unwrapped=True):
            await run(LATENCY, port, seconds=0.001 + 1 / RATE)
