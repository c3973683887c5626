"""`forebay optimizer`: the process, until SIGTERM or SIGINT.

Lives here: the composition root: options, Redis, the source of deployments, HTTP, the orderly end.  Not here: what it
does (optimizer.service).
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from forebay.local.ports import Ports
from gateway.config.addresses import is_loopback, split_address
from gateway.observability import logs
from gateway.observability.guard import calls_guarded
from gateway.observability.http import MONITORING, index_route, monitoring_routes
from gateway.observability.serving import http_server, shared_socket
from optimizer.planning.decider import Decider, Policy
from optimizer.service.board import Board
from optimizer.service.loop import Clock, Loop, Pace, Stores
from optimizer.service.metrics import OptimizerMetrics
from optimizer.service.pages import PATHS, Pages, on_http_error
from optimizer.service.profile_places import ProfilePlaces
from optimizer.service.profile_reader import ProfileReader
from optimizer.service.sources import DeploymentSource
from traffic.connection import Connection
from traffic.hint_store import HintStore
from traffic.store import TraceStore

REDIS_S = 1.0
"""Time limit of a call to Redis, in seconds (chosen: nobody waits for it)."""
GOODBYE_S = 3
"""Time that answers which are being given have at the end, in seconds (chosen)."""

log = structlog.get_logger("optimizer")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command."""

    listen: str
    redis_url: str
    is_cluster: bool = False
    """Whether `redis_url` is of a Redis Cluster."""
    profiles: tuple[Path, ...] = ()
    bundled: Mapping[str, bytes] = field(default_factory=dict)
    """Profiles that come with Forebay, by name."""
    policy: Policy = field(default_factory=Policy)
    pace: Pace = field(default_factory=Pace)
    admin_token: str = ""
    is_open: bool = False
    """Whether changes need no token on any address."""
    is_debug: bool = False
    is_port_held: bool = False
    """Whether the process that started this one holds the address."""


def run(options: Options, source: DeploymentSource) -> None:
    """Run until SIGTERM or SIGINT.  Raises AddressError for an address that cannot be had."""
    logs.set_up("debug" if options.is_debug else "info")
    with contextlib.closing(Ports()) as ports:
        if not options.is_port_held:
            ports.hold("--listen", options.listen)
        uvloop.run(_serve(options, source))


async def _serve(options: Options, source: DeploymentSource) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connection = Connection(options.redis_url, REDIS_S, cluster=options.is_cluster)
    clock = Clock(time.time(), time.monotonic)
    board = Board(lambda: Decider(options.policy), clock.now_s, lambda: source.problem)
    profiles = ProfileReader(board, ProfilePlaces(connection, options.profiles, options.bundled))
    stores = Stores(connection, TraceStore(connection), HintStore(connection))
    loop = Loop(board, source, profiles, stores, clock=clock, pace=options.pace, supply=options.policy.supply)
    server = http_server(_app(board, Pages(board, profiles, stores.traces.models), options))
    server.config.timeout_graceful_shutdown = GOODBYE_S
    async with contextlib.aclosing(connection), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve([shared_socket(options.listen)]), name="http")
        working = tasks.create_task(loop.run(), name="loop")
        log.info("optimizer_starts", address=options.listen, url=options.redis_url)
        await stop.wait()
        log.info("optimizer_stops")
        working.cancel()
        server.should_exit = True
        await serving


def _app(board: Board, pages: Pages, options: Options) -> ASGIApp:
    metrics = OptimizerMetrics(board)
    monitoring = monitoring_routes(metrics.render, CONTENT_TYPE_LATEST, board.not_ready, board.problems)
    index = index_route("the optimizer, which says how many replicas there should be", MONITORING | PATHS, {})
    app = Starlette(routes=[index, *monitoring, *pages.routes()], exception_handlers={HTTPException: on_http_error})
    host, _ = split_address(options.listen)
    return calls_guarded(app, options.admin_token, on_loopback=is_loopback(host), is_open=options.is_open)
