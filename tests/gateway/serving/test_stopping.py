"""The end of a server, on both transports, as a stream of access logs sees it."""

import asyncio

import grpc
import pytest
from grpc import aio

from gateway.pb import access_log_service_pb2 as als
from gateway.serving.grpc import GrpcServer
from gateway.serving.http2.server import Http2Server
from gateway.serving.service import ACCESS_LOG
from ratelimit.limits import User
from tests.support.access_log import put
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.shop import Shop, a_service


async def a_batch(shop: Shop) -> bytes:
    """The end of a request that was just admitted."""
    await shop.admit(user="lgy")
    message = als.StreamAccessLogsMessage()
    put(message.http_logs.log_entry.add(), "forebay", exchange=shop.last_id)
    return message.SerializeToString()


@pytest.mark.parametrize("server", [Http2Server, GrpcServer])
async def test_a_server_about_to_close_takes_one_more_batch_and_ends_the_stream_well(
    server: type[Http2Server | GrpcServer],
):
    shop = Shop(users={"lgy": User("lgy")})
    service = a_service(shop)
    address, running = free_address(), server(service)
    await running.start([address])
    async with aio.insecure_channel(address) as channel:
        call = channel.stream_unary(f"/{ACCESS_LOG}/StreamAccessLogs")(timeout=20)
        await call.write(await a_batch(shop))
        await until(lambda: 0 == len(shop.ledger))

        stopping = asyncio.create_task(running.stop(2.0))
        await until(lambda: service.is_stopping)
        assert not call.done()
        await call.write(await a_batch(shop))

        assert (b"", grpc.StatusCode.OK) == (await call, await call.code())
        assert 0 == len(shop.ledger)
        await stopping
