"""`forebay console`: the process, until SIGTERM or SIGINT.

Lives here: the composition root: the gateway's addresses, HTTP, the orderly end.  Not here: the pages (console).
"""

import asyncio
import contextlib
import signal
from typing import NamedTuple

from console.app import console_app
from console.desk import Desk
from console.history import History
from console.looking.client import Client
from forebay.local.ports import Ports
from gateway.observability import logs
from gateway.observability.serving import http_server, shared_socket

GOODBYE_S = 1
"""Time that answers which are being given have at the end, in seconds (chosen: open pages never end by themselves)."""


class Options(NamedTuple):
    """The options of the command."""

    listen: str
    http: str
    """The URL of the gateway's `listen.http`; `admin` is that of `listen.admin`."""
    admin: str
    gateway: str
    """The URL that users send requests to; empty = not known."""
    token: str
    is_held: bool = False
    """Whether another process holds the address for this one."""


def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT.  Raises AddressError for an address that cannot be had, ValueError for no URL."""
    reading = Client(options.http, options.token)
    desk = Desk(reading, Client(options.admin, options.token), History(reading), options.gateway)
    logs.set_up("warning")
    with contextlib.closing(Ports()) as ports, contextlib.closing(desk.history) as history:
        if not options.is_held:
            ports.hold("--listen", options.listen)
        history.start()
        asyncio.run(_serve(options, desk))


async def _serve(options: Options, desk: Desk) -> None:
    server = http_server(console_app(desk, options.token))
    server.config.timeout_graceful_shutdown = GOODBYE_S

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve([shared_socket(options.listen)])
