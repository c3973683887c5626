"""One GET against real sockets: every way an answer can end, or fail to."""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import pytest
from httptools import HttpResponseParser

from gateway.discovery.probing.http_get import MAX_HEAD_BYTES, AnswerError, Response, _Exchange, get, get_status, post
from tests.support.ports import free_address

LIMIT = 256 * 1024
PATIENCE_S = 20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
LINGER_0 = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""A socket that is closed with it resets the connection."""

Play = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Plays the same answer to everybody; remembers requests, and whether the client hung up."""

    def __init__(self, play: Play, *, keeps_open: bool) -> None:
        self.requests: list[bytes] = []
        self.left = asyncio.Event()
        self._play = play
        self._keeps_open = keeps_open

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await self._play(writer)
            if self._keeps_open:
                assert await reader.read() == b""
                self.left.set()
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def playing(play: Play, *, keeps_open: bool = True) -> AsyncIterator[tuple[str, Server]]:
    player = Server(play, keeps_open=keeps_open)
    server = await asyncio.start_server(player.serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(PATIENCE_S):
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", player


def pieces(answer: bytes, size: int) -> Play:
    """Sends the answer in pieces of this size, each on its own."""

    async def play(writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(answer), size):
            writer.write(answer[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)

    return play


def whole(answer: bytes) -> Play:
    return pieces(answer, max(1, len(answer)))


def forever(start: bytes, parts: Iterable[bytes]) -> Play:
    """Sends `start` and then the same parts until the client hangs up."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.writelines(parts)
            await writer.drain()

    return play


DELIMITED = {
    "content-length": (OK + b"content-length: 11\r\n\r\nhello world", Response(200, b"hello world")),
    "no body": (OK + b"content-length: 0\r\n\r\n", Response(200, b"")),
    "keep-alive": (OK + b"connection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Response(200, b"ok")),
    "chunked": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", Response(200, b"hello world")),
    "chunk extensions": (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n', Response(200, b"hello")),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\nx-more: 0\r\n\r\n", Response(200, b"hello")),
    "a chunk that looks like the end": (CHUNKED + b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", Response(200, b"\r\n0\r\n\r\n")),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, b"")),
    "304 with the length of what it does not send": (
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        Response(304, b""),
    ),
    "an error": (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy", Response(503, b"busy")),
    "no reason phrase": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", Response(200, b"ok")),
    "early hints": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK + b"content-length: 2\r\n\r\nok",
        Response(200, b"ok"),
    ),
}
"""Answers that say where they end: the connection may stay open."""


@pytest.mark.parametrize("size", [1, 7, LIMIT])
@pytest.mark.parametrize(("answer", "expected"), DELIMITED.values(), ids=DELIMITED.keys())
async def test_an_answer_that_says_where_it_ends_is_complete_there_however_it_arrives(
    answer: bytes, expected: Response, size: int
) -> None:
    async with playing(pieces(answer, size)) as (address, server):
        assert expected == await get(address, "/metrics", limit_bytes=LIMIT)
        await server.left.wait()


@pytest.mark.parametrize(
    "head",
    [
        OK + b"\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        OK + b"connection: keep-alive\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\ncontent-length: 0\r\n\r\n" + OK + b"\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, LIMIT])
async def test_an_answer_that_does_not_say_it_ends_with_the_connection(head: bytes, size: int) -> None:
    async with playing(pieces(head + b"hello\r\nworld", size), keeps_open=False) as (address, _):
        assert Response(200, b"hello\r\nworld") == await get(address, "/", limit_bytes=LIMIT)


async def test_the_request_names_path_and_host_and_asks_for_the_connection_to_close() -> None:
    async with playing(whole(OK + b"content-length: 0\r\n\r\n")) as (address, server):
        await get(address, "/its/own?x=1", limit_bytes=LIMIT)

    assert [f"GET /its/own?x=1 HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode()] == server.requests


async def test_a_post_announces_its_body_as_json() -> None:
    async with playing(whole(OK + b"content-length: 0\r\n\r\n")) as (address, server):
        await post(address, "/p", b'{"a":1}', limit_bytes=LIMIT)

    head = f"POST /p HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 7\r\n"
    assert [f"{head}connection: close\r\n\r\n".encode()] == server.requests


@pytest.mark.parametrize("end", [b"", b"garbage", OK + b"content-length: 3\r\n\r\nyes"])
@pytest.mark.parametrize("connection", [b"", b"connection: close\r\n"])
async def test_what_follows_a_complete_answer_is_ignored(connection: bytes, end: bytes) -> None:
    answer = OK + connection + b"content-length: 2\r\n\r\nok" + end

    async with playing(whole(answer), keeps_open=False) as (address, _):
        assert Response(200, b"ok") == await get(address, "/", limit_bytes=LIMIT)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        OK,
        OK + b"content-length: 5\r\n\r\nhell",
        CHUNKED,
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_an_error(answer: bytes) -> None:
    async with playing(whole(answer), keeps_open=False) as (address, _):
        with pytest.raises(AnswerError, match="the connection ended before the answer"):
            await get(address, "/", limit_bytes=LIMIT)


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"+PONG\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        OK + b"content-length: many\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: 99999999999999999999\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"size\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello world\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_a_malformed_answer_is_an_error_at_once(answer: bytes) -> None:
    async with playing(whole(answer)) as (address, server):
        with pytest.raises(AnswerError, match="malformed"):
            await get(address, "/", limit_bytes=LIMIT)
        await server.left.wait()


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (forever(OK + b"\r\n", [b"x" * 1000]), f"more than {LIMIT} bytes"),
        (forever(OK + b"content-length: 99999999\r\n\r\n", [b"x" * 1000]), f"more than {LIMIT} bytes"),
        (forever(CHUNKED, [b"1\r\nx\r\n"] * 100), f"more than {LIMIT} bytes"),
        (forever(CHUNKED + b"1;", [b"x" * 1000]), f"more than {LIMIT} bytes"),
        (forever(CHUNKED + b"0\r\n", [b"trailer: x\r\n"] * 100), f"more than {LIMIT} bytes"),
        (forever(OK, [b"header: x\r\n"] * 10), f"a head of more than {MAX_HEAD_BYTES} bytes"),
        (forever(OK + b"header: ", [b"x" * 1000]), f"a head of more than {MAX_HEAD_BYTES} bytes"),
        (forever(b"HTTP/1.1 200 ", [b"x" * 1000]), f"a head of more than {MAX_HEAD_BYTES} bytes"),
        (forever(b"", [b"HTTP/1.1 102 Processing\r\n\r\n"] * 10), f"a head of more than {MAX_HEAD_BYTES} bytes"),
    ],
    ids=["body", "length", "chunks", "extension", "trailers", "headers", "header", "reason", "interim answers"],
)
async def test_no_part_of_an_answer_may_go_on_forever(play: Play, why: str) -> None:
    async with playing(play) as (address, server):
        with pytest.raises(AnswerError, match=why):
            await get(address, "/", limit_bytes=LIMIT)
        await server.left.wait()


async def test_an_answer_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    answer = OK + b"content-length: 2\r\n\r\nok"

    async with playing(whole(answer)) as (address, _):
        assert Response(200, b"ok") == await get(address, "/", limit_bytes=len(answer))
        with pytest.raises(AnswerError, match="more than"):
            await get(address, "/", limit_bytes=len(answer) - 1)


@pytest.mark.parametrize(
    "answer", [OK + b"content-length: 1000000\r\n\r\n", OK + b"\r\n" + b"x" * 500_000, CHUNKED + b"nonsense"]
)
async def test_a_status_is_known_with_the_head_whatever_body_follows(answer: bytes) -> None:
    async with playing(whole(answer)) as (address, server):
        assert 200 == await get_status(address, "/")
        await server.left.wait()


async def test_a_status_needs_a_head_that_is_complete() -> None:
    async with playing(whole(OK + b"content-length"), keeps_open=False) as (address, _):
        with pytest.raises(AnswerError, match="the connection ended before the answer"):
            await get_status(address, "/")


async def test_nobody_who_listens_is_an_error_of_the_connection() -> None:
    with pytest.raises(ConnectionRefusedError):
        await get(free_address(), "/", limit_bytes=LIMIT)


async def test_a_reset_is_an_error_of_the_connection() -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.get_extra_info("socket").setsockopt(*LINGER_0)
        writer.transport.abort()

    async with playing(reset, keeps_open=False) as (address, _):
        with pytest.raises(ConnectionResetError):
            await get(address, "/", limit_bytes=LIMIT)


async def test_whoever_stops_waiting_hangs_up() -> None:
    async with playing(whole(OK)) as (address, server):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await get(address, "/", limit_bytes=LIMIT)
        await server.left.wait()


@pytest.mark.parametrize(
    "answer", [OK + b"content-length: 2\r\n\r\nok", b"nonsense", OK + b"content-length: 2\r\n\r\n"]
)
async def test_an_exchange_is_freed_without_the_garbage_collector(answer: bytes) -> None:
    gc.collect()
    gc.disable()  # workers collect rarely, and scrape hundreds of pages a second
    try:
        async with playing(whole(answer), keeps_open=False) as (address, _):
            with suppress(AnswerError):
                await get(address, "/", limit_bytes=LIMIT)
            await asyncio.sleep(0.01)  # the loop closes the connection in a later step

        assert [] == [kept for kept in gc.get_objects() if isinstance(kept, HttpResponseParser | _Exchange)]
    finally:
        gc.enable()
