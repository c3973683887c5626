"""A worker in a Python process of its own: `python -m gateway.worker.process`.

Lives here: a gRPC server and uvicorn (HTTP, admin) on one uvloop, and the drain on SIGTERM.  Not here: what they serve
(gateway.worker.worker).
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvloop
from starlette.types import ASGIApp

from gateway.config.loading import load
from gateway.observability import logs
from gateway.observability.serving import http_server, shared_socket
from gateway.serving.grpc import GrpcServer
from gateway.serving.http2.server import Http2Server
from gateway.worker.launch import read_place
from gateway.worker.port_router import PortRouter
from gateway.worker.worker import Worker
from routing.table import STRATEGIES

SWITCH_S = 0.001
"""Seconds after which a thread lets the event loop go on, so that a page of metrics that is written in one holds the
loop no longer (chosen: at Python's default it is 5 ms, each time the loop wakes)."""
GRACE_S = 0.5
"""Seconds after the drain for calls that are being answered; open streams such as the access log are cut (chosen)."""


@asynccontextmanager
async def pages_served(worker: Worker) -> AsyncIterator[None]:
    """Serve HTTP and admin while the block runs: by one server, or by two where only one of them speaks TLS."""
    listen = worker.settings.listen
    applications: dict[str, ASGIApp] = {listen.http: worker.http, listen.admin: worker.admin}
    schemes = {listen.http: listen.scheme("http"), listen.admin: listen.scheme("admin")}
    tls = worker.certificates.pages_context() if worker.certificates else None
    servers = {
        scheme: http_server(PortRouter(applications), tls if scheme == "https" else None)
        for scheme in sorted(set(schemes.values()))
    }
    async with asyncio.TaskGroup() as serving:
        for scheme, server in servers.items():
            sockets = [shared_socket(address) for address in applications if schemes[address] == scheme]
            serving.create_task(server.serve(sockets), name=scheme)
        try:
            yield
        finally:
            for server in servers.values():
                server.should_exit = True


async def serve(worker: Worker) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listen = worker.settings.listen
    structlog.contextvars.bind_contextvars(replica=worker.replica)
    async with worker.running():
        certificates = worker.certificates if "grpc" in listen.tls.on else None
        server = (GrpcServer if worker.settings.transport == "grpc" else Http2Server)(worker.service, certificates)
        async with pages_served(worker):
            await server.start((listen.grpc, worker.place.address))
            await stop.wait()
            await worker.drain()
            await server.stop(GRACE_S)


def main() -> None:
    """Run the worker that the environment describes.  Raises KeyError and ConfigurationError."""
    config_file, place = read_place(os.environ)
    settings = load(config_file, os.environ, STRATEGIES)
    logs.set_up(settings.log_level)
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(serve(Worker(settings, place)))


if __name__ == "__main__":
    main()
