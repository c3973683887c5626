"""`forebay runtime`: the process, until SIGTERM or SIGINT.

Lives here: the composition root: options, the engine's client, HTTP, the orderly end.  Not here: what it does
(runtime).
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass
from importlib import metadata

import structlog
import uvloop
from starlette.types import ASGIApp

from forebay.local.ports import Ports
from gateway.config.addresses import is_loopback, split_address
from gateway.observability import logs
from gateway.observability.guard import calls_guarded
from gateway.observability.serving import http_server, shared_socket
from runtime.adapters import Adapters
from runtime.app import Parts, create_app
from runtime.counting import Counted
from runtime.downloader import Downloader
from runtime.downloads.downloading import Downloads
from runtime.engines.calls import Calls, engine_client
from runtime.engines.table import ENGINES, engine_class
from runtime.metrics.api_calls import ApiCalls
from runtime.metrics.page import MetricsPage
from runtime.models import Models
from runtime.phases import Phases
from runtime.settings import Settings

GOODBYE_S = 3
"""Time that answers which are being given have at the end, in seconds (chosen)."""

log = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command."""

    listen: str
    has_docs: bool = False
    admin_token: str = ""
    """The bearer token that every call but GET needs where the address is not loopback; empty = nobody needs one."""


def run(options: Options, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.  Raises AddressError for an address that cannot be had."""
    logs.set_up("info")
    with contextlib.closing(Ports()) as ports:
        ports.hold("--host and --port", options.listen)
        downloads = Downloads(os.environ, random.Random())  # noqa: S311 - of pauses between attempts
        uvloop.run(_serve(options, settings, downloads))


async def _serve(options: Options, settings: Settings, downloader: Downloader) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    models = Models(downloader, settings.models_folder)
    async with engine_client(settings.endpoint) as client, asyncio.TaskGroup() as tasks:
        calls = Calls(client, f"Bearer {settings.api_key}" if settings.api_key else "")
        engine = engine_class(settings.engine)(calls, settings.metrics_path)
        api_calls = ApiCalls()
        page = MetricsPage(engine, settings, api_calls, metadata.version("forebay"), time.monotonic)
        parts = Parts(
            settings, engine, Phases(engine, time.monotonic), Adapters(downloader), models, page,
            passes_authorization=not options.admin_token,
        )  # fmt: skip
        app = guarded(create_app(parts, has_docs=options.has_docs), options)
        server = http_server(Counted(app, api_calls, time.monotonic))
        server.config.timeout_graceful_shutdown = GOODBYE_S
        serving = tasks.create_task(server.serve([shared_socket(options.listen)]), name="http")
        log.info("runtime_starts", address=options.listen, engine=settings.engine, endpoint=settings.endpoint)
        if settings.engine not in ENGINES:
            log.warning("engine_unknown", engine=settings.engine, known=list(ENGINES), there_are="metrics and models")
        await stop.wait()
        log.info("runtime_stops")
        await models.close()
        server.should_exit = True
        await serving


def guarded(app: ASGIApp, options: Options) -> ASGIApp:
    """Refuse web pages of other sites, and with a token everybody who would change something without it."""
    host, _ = split_address(options.listen)
    token = options.admin_token
    return calls_guarded(app, token, on_loopback=is_loopback(host), is_open=not token)
