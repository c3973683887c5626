"""A worker in a Python process of its own: `python -m gateway.worker.process`.

Lives here: a gRPC server and uvicorn (HTTP, admin) on one uvloop, and the drain on SIGTERM.  Not here: what they serve
(gateway.worker.worker).
"""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from gateway.config.addresses import split_address
from gateway.config.loading import load
from gateway.observability import logs
from gateway.serving.grpc import GrpcServer
from gateway.serving.http2.server import Http2Server
from gateway.worker.launch import read_place
from gateway.worker.port_router import PortRouter
from gateway.worker.worker import Worker
from routing.table import STRATEGIES

GRACE_S = 0.5
"""Seconds after the drain for calls that are being answered; open streams such as the access log are cut (chosen)."""

BACKLOG = 1024
"""Connections that may wait to be accepted, per HTTP address (chosen)."""


def shared_socket(address: str) -> socket.socket:
    """Return a listening socket on an address that sibling workers bind too."""
    host, port = split_address(address)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


class QuietServer(uvicorn.Server):
    """uvicorn without its own signal handlers: this process has one for all its servers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Override uvicorn's hook to install no signal handler."""
        yield


async def serve(worker: Worker) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listen = worker.settings.listen
    structlog.contextvars.bind_contextvars(replica=worker.replica)
    async with worker.running():
        server = (GrpcServer if worker.settings.transport == "grpc" else Http2Server)(worker.service)
        applications: dict[str, ASGIApp] = {listen.http: worker.http, listen.admin: worker.admin}
        http = QuietServer(uvicorn.Config(PortRouter(applications), lifespan="off", access_log=False, log_config=None))
        sockets = [shared_socket(address) for address in applications]
        serving = asyncio.create_task(http.serve(sockets), name="http")
        await server.start((listen.grpc, worker.place.address))
        await stop.wait()
        await worker.drain()
        await server.stop(GRACE_S)
        http.should_exit = True
        await serving


def main() -> None:
    """Run the worker that the environment describes.  Raises KeyError and ConfigurationError."""
    config_file, place = read_place(os.environ)
    settings = load(config_file, os.environ, STRATEGIES)
    logs.set_up(settings.log_level)
    uvloop.run(serve(Worker(settings, place)))


if __name__ == "__main__":
    main()
