"""The server on real sockets: another gRPC implementation as its client, and clients that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest
from grpc import aio

from gateway.pb import health_pb2 as health
from gateway.serving.framing import frame as message
from gateway.serving.http2 import server
from gateway.serving.http2.frames import (
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PING,
    PREFACE,
    frame,
    settings,
    window_update,
)
from gateway.serving.service import HEALTH
from tests.support.http2 import HELLO, PROCESS, Answer, Frame, data, frames_of, opened
from tests.support.http2_server import ENOUGH_S, Running, read_frame, running_server
from tests.support.polling import until

CHECK = f"/{HEALTH}/Check"


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_server() as one:
        yield one


async def read_all(reader: asyncio.StreamReader) -> list[Frame]:
    return frames_of(await asyncio.wait_for(reader.read(), ENOUGH_S))


async def test_grpc_s_own_client_calls_it(running: Running):
    async with aio.insecure_channel(running.address) as channel:
        check = channel.unary_unary(CHECK)
        answers = await asyncio.gather(*(check(b"", timeout=ENOUGH_S) for _ in range(100)))
        assert {health.HealthCheckResponse.SERVING} == {
            health.HealthCheckResponse.FromString(answer).status for answer in answers
        }
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/no.Such/Method")(b"", timeout=ENOUGH_S)
        assert (grpc.StatusCode.UNIMPLEMENTED, "unknown method /no.Such/Method") == (
            caught.value.code(), caught.value.details(),
        )  # fmt: skip


async def test_grpc_s_own_compression_is_unimplemented(running: Running):
    async with aio.insecure_channel(running.address, compression=grpc.Compression.Gzip) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(CHECK)(bytes(1000), timeout=ENOUGH_S)
        assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


async def test_a_reply_is_sent_without_further_input(running: Running):
    reader, _ = await running.connect(HELLO, opened(1, CHECK), data(1, message(b""), end=True))
    sent = b""
    while not Answer(sent).ended:
        one = await read_frame(reader)
        sent += frame(*one)
    assert "0" == Answer(sent).status


async def test_a_client_that_breaks_the_protocol_is_told_why_and_disconnected(running: Running):
    reader, _ = await running.connect(HELLO, frame(PING, 0, 0, b"short"))
    last = (await read_all(reader))[-1]
    assert (GOAWAY, b"PING is not 8 bytes") == (last.kind, last.payload[8:])


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.0\r\n\r\n", b"PRI * HTTP/1.1"])
async def test_a_client_that_does_not_speak_http2_is_told_so_in_http1_and_disconnected(running: Running, said: bytes):
    reader, _ = await running.connect(said)
    answer = await asyncio.wait_for(reader.read(), ENOUGH_S)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"content-length: {len(body)}".encode() in head.splitlines()
    assert b"gRPC over HTTP/2" in body


async def test_a_client_that_stops_reading_is_not_read_until_it_resumes(running: Running):
    reader, writer = await running.connect(HELLO)
    await read_frame(reader)
    (client,) = running.server._clients.all
    pings = frame(PING, 0, 0, bytes(8)) * 1000

    def stopped() -> bool:
        writer.write(pings)
        return not client._transport.is_reading()

    await until(stopped, every_s=0)
    await asyncio.wait_for(reader.readexactly(len(pings)), ENOUGH_S)

    while not client._transport.is_reading():
        await asyncio.wait_for(reader.readexactly(len(pings)), ENOUGH_S)


async def test_a_large_answer_comes_through_a_small_window(running: Running):
    reader, writer = await running.connect(PREFACE, settings({INITIAL_WINDOW_SIZE: 1000}))
    writer.write(opened(1, "/" + "x" * 100) + opened(3, CHECK) + data(3, message(b""), end=True))
    writer.write(window_update(3, 1000))
    sent = b""
    while not (Answer(sent).ended and Answer(sent, 3).ended):
        sent += frame(*await read_frame(reader))
    assert ("12", "0") == (Answer(sent).status, Answer(sent, 3).status)


async def test_a_server_that_stops_says_so_first_and_serves_what_is_on_its_way(running: Running):
    reader, writer = await running.connect(HELLO, opened(1))
    while (await read_frame(reader)).kind != 4:  # it has read what we sent
        pass
    stopping = asyncio.create_task(running.server.stop(0.5))
    while (first := await read_frame(reader)).kind != GOAWAY:
        pass

    writer.write(opened(3, CHECK) + data(3, message(b""), end=True))

    *answer, last = await read_all(reader)
    await stopping
    assert MAX_WINDOW == int.from_bytes(first.payload[:4], "big")
    assert "0" == Answer(b"".join(frame(*one) for one in answer), 3).status
    assert (GOAWAY, 3) == (last.kind, int.from_bytes(last.payload[:4], "big"))


async def test_an_address_in_use_is_an_error():
    stranger = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match="address already in use"):
        await Running().server.start([f"127.0.0.1:{port}"])
    stranger.close()
    await stranger.wait_closed()


async def test_the_calls_of_a_lost_client_end(running: Running):
    _, gone = await running.connect(HELLO, *(opened(stream, PROCESS) for stream in range(1, 200, 2)))
    gone.transport.abort()
    reader, _ = await running.connect(HELLO, frame(PING, 0, 0, b"stillup?"))
    while (await read_frame(reader)).kind != PING:
        pass


@pytest.mark.parametrize("said", [b"", HELLO[:9]], ids=["nothing", "a part"])
async def test_a_client_that_does_not_say_what_it_speaks_is_disconnected(
    running: Running, said: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "PREFACE_S", 0.05)
    reader, _ = await running.connect(said)
    with suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), ENOUGH_S)
    await until(lambda: not running.server._clients)


async def test_a_connection_of_no_use_is_closed_and_one_with_a_call_is_not(
    running: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "PREFACE_S", 0.05)
    monkeypatch.setattr(server, "IDLE_S", 0.1)
    idle, _ = await running.connect(HELLO)
    busy, _ = await running.connect(HELLO, opened(1))

    assert frames_of(await asyncio.wait_for(idle.read(), ENOUGH_S))[-1].kind == GOAWAY
    await asyncio.sleep(0.3)
    assert not busy.at_eof() and 1 == len(running.server._clients)
