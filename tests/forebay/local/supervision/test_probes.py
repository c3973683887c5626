"""Probes answer yes or no and never raise."""

import asyncio

from forebay.local.supervision.probes import accepts, answers_ok, redis_answers
from tests.support.backend import Exchange, running_backend
from tests.support.ports import free_address


async def test_an_address_where_nobody_listens_is_not_ready_and_no_error():
    nobody = free_address()

    assert not await accepts(nobody)
    assert not await answers_ok(nobody, "/healthz")
    assert not await redis_answers(nobody)


async def test_only_200_is_ok():
    async def by_path(exchange: Exchange) -> None:
        await exchange.reply(b"", status=200 if "get /healthz" in exchange.head else 503)

    async with running_backend(by_path) as server:
        assert await accepts(server.address)
        assert await answers_ok(server.address, "/healthz")
        assert not await answers_ok(server.address, "/readyz")


async def test_a_redis_that_loads_its_data_is_not_ready():
    answers = iter([b"-LOADING Redis is loading the dataset in memory\r\n", b"+PONG\r\n"])

    async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(next(answers))
        writer.close()

    server = await asyncio.start_server(redis, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        assert [False, True] == [await redis_answers(address), await redis_answers(address)]


async def test_an_address_on_all_interfaces_is_probed_on_loopback():
    async def hello(exchange: Exchange) -> None:
        await exchange.reply(b"")

    async with running_backend(hello) as server:
        assert await accepts(f"0.0.0.0:{server.address.rpartition(':')[2]}")
