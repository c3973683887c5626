"""An HTTP server beside other work of its process."""

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.observability.serving import http_server, shared_socket
from tests.support.ports import free_port

APP = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("here"))])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_it_serves_until_it_should_exit_and_leaves_signals_alone(host: str):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    address = f"{host}:{free_port()}"
    server = http_server(APP)
    serving = asyncio.create_task(server.serve([shared_socket(address)]))
    async with httpx.AsyncClient() as client:
        assert "here" == (await client.get(f"http://{address}/")).text

    assert handlers == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    server.should_exit = True
    await asyncio.wait_for(serving, 30)


def test_siblings_may_bind_the_same_address():
    address = f"127.0.0.1:{free_port()}"
    with shared_socket(address) as one, shared_socket(address) as other:
        assert one.getsockname() == other.getsockname()
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
