"""`forebay controllers`: the process that runs them, of several equal ones of which one acts.

Lives here: the composition root: options, the table of controllers, leader election, HTTP, the orderly end.  Not here:
what a controller does (controllers).
"""

import asyncio
import contextlib
import random
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.types import ASGIApp

from controllers.controller import Controller
from controllers.metricsapi.api import MetricsApi
from controllers.metricsapi.certificate import Place
from controllers.metricsapi.external import ExternalMetrics, Places
from controllers.metricsapi.pods import PodMetrics
from controllers.modeladapter.controller import ModelAdapterController
from controllers.modeladapter.engines import Engines
from controllers.podautoscaler.controller import PodAutoscalerController
from controllers.podautoscaler.observing import Observer
from controllers.podautoscaler.sources.apis import MetricsApis
from controllers.podautoscaler.sources.observer import Sources
from controllers.podautoscaler.sources.pages import Pages
from controllers.podautoscaler.sources.pods import Pods
from controllers.routes.controller import RoutesController
from controllers.routes.objects import Home, shortest_prefixes
from controllers.routes.plan import Rules
from forebay.cluster.metrics import ControllerMetrics
from forebay.cluster.metrics_api import MetricsApiServer
from forebay.local.ports import Ports
from gateway.config.addresses import is_loopback, split_address
from gateway.observability import logs
from gateway.observability.guard import pages_guarded
from gateway.observability.http import MONITORING, index_route, monitoring_routes
from gateway.observability.serving import http_server, shared_socket
from gateway.openai.operations import Operation
from kube.client import Client, connection
from kube.election import Election
from kube.events import Recorder
from kube.times import Clocks
from traffic.connection import Connection
from traffic.store import TraceStore
from traffic.wakes import Wakes

MANAGER = "forebay-controllers"
"""The name under which objects are written and events are told."""
REDIS_S = 1.0
"""Time limit of a call to Redis, in seconds (chosen: a decision waits for it)."""
GATEWAY_PORT = 8080
"""The port of gateways' pages in a cluster (docs/contracts.md, section 8)."""
REPORT_S = 1.0
"""How often is looked whether the controllers can work (chosen)."""

log = structlog.get_logger("controllers")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command."""

    controllers: tuple[str, ...]
    namespace: str
    gateway: str
    kubeconfig: Path | None
    listen: str
    lease: str
    request_timeout: str
    redis_url: str
    is_cluster: bool
    """Whether `redis_url` is of a Redis Cluster."""
    metrics_api: str = ""
    """Address of the metrics APIs; empty = they are not served."""
    metrics_service: str = ""
    """The Service by which an API server reaches that address."""
    gateways: str = ""
    """Label selector of the gateways' pods."""
    optimizer: str = ""
    """URL of the optimizer."""


class Tools(NamedTuple):
    """The things that every controller is made with."""

    client: Client
    recorder: Recorder
    clocks: Clocks
    rng: random.Random
    observer: Observer
    wakes: Wakes


def _routes(options: Options, tools: Tools) -> Controller:
    rules = Rules(Home(options.namespace, options.gateway), engine_paths(), options.request_timeout)
    return RoutesController(tools.client, rules, tools.recorder, tools.clocks, tools.rng)


def _podautoscaler(options: Options, tools: Tools) -> Controller:
    client, recorder, clocks, rng, observer, wakes = tools
    return PodAutoscalerController(
        client, observer, recorder, clocks, rng=rng, namespace=options.namespace, wakes=wakes
    )


def _adapters(_options: Options, tools: Tools) -> Controller:
    return ModelAdapterController(tools.client, Engines, tools.recorder, tools.clocks, tools.rng)


CONTROLLERS: Mapping[str, Callable[[Options, Tools], Controller]] = {
    "routes": _routes,
    "modeladapter": _adapters,
    "podautoscaler": _podautoscaler,
}
"""Every controller, by name."""


def engine_paths() -> tuple[str, ...]:
    """Return the prefixes of the paths that engines are sent: those of all operations that the gateway passes on."""
    return shortest_prefixes(operation.path.partition("/{")[0] for operation in Operation if operation.body is not None)


def run(options: Options) -> None:
    """Run the controllers until SIGTERM or SIGINT.

    Raises NoWayError where no API server is known, and AddressError for an address that cannot be had.
    """
    logs.set_up("info")
    config = connection(options.kubeconfig)
    with contextlib.closing(Ports()) as ports:
        ports.hold("--listen", options.listen)
        if options.metrics_api:
            ports.hold("--metrics-api", options.metrics_api)
        client = Client(config, MANAGER)
        uvloop.run(_serve(options, client))


async def _serve(options: Options, client: Client) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    rng = random.Random()  # noqa: S311 - jitter
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    clocks = Clocks(time.monotonic, time.time)
    recorder = Recorder(client, MANAGER, identity, clocks=clocks, rng=rng)
    traffic, pages = Connection(options.redis_url, REDIS_S, cluster=options.is_cluster), Pages()
    traces = TraceStore(traffic)
    observer = Sources(client, pages, traces, clocks.wall)
    tools = Tools(client, recorder, clocks, rng, observer, Wakes(traffic))
    controllers = [CONTROLLERS[name](options, tools) for name in options.controllers]
    election = Election(client, options.lease, options.namespace, identity=identity, clocks=clocks)
    server = http_server(_app(controllers, election, options.listen))
    async with client, pages, contextlib.aclosing(traffic), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve([shared_socket(options.listen)]), name="http")
        working = [tasks.create_task(_report(controllers), name="report")]
        working += [tasks.create_task(one.run(), name="follow") for each in controllers for one in each.followed]
        if options.metrics_api:
            api = _metrics_api(options, client, pages, traces)
            working.append(tasks.create_task(api.run(), name="metrics-api"))
        standing = tasks.create_task(election.run(lambda: _lead(controllers), rng), name="election")
        await stop.wait()
        log.info("controllers_stop")
        standing.cancel()  # gives the lease up
        await asyncio.wait((standing,))
        for task in working:
            task.cancel()
        server.should_exit = True
        await serving


def _metrics_api(options: Options, client: Client, pages: Pages, traces: TraceStore) -> MetricsApiServer:
    places = Places(options.namespace, options.gateways, GATEWAY_PORT, options.optimizer)
    of_pods = PodMetrics(client, Pods(pages, MetricsApis(client), time.time))
    api = MetricsApi(ExternalMetrics(client, pages, traces, places), of_pods, time.time)
    place = Place(options.namespace, options.metrics_service, f"{options.metrics_service}-tls")
    return MetricsApiServer(client, api.app(), options.metrics_api, place, time.time)


async def _lead(controllers: Sequence[Controller]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for controller in controllers:
            tasks.create_task(controller.lead(), name=controller.name)


async def _report(controllers: Sequence[Controller]) -> None:
    """Log whenever the controllers cannot work, and when they can again."""
    before: list[str] | None = None
    while True:
        await asyncio.sleep(REPORT_S)
        reasons = _missing(controllers)
        if reasons and reasons != before:
            log.warning("controllers_wait", reasons=reasons)
        elif not reasons and before != reasons:
            log.info("controllers_ready", controllers=[controller.name for controller in controllers])
        before = reasons


def _missing(controllers: Sequence[Controller]) -> list[str]:
    return [f"{controller.name}: {reason}" for controller in controllers for reason in controller.missing()]


def _app(controllers: Sequence[Controller], election: Election, listen: str) -> ASGIApp:
    metrics = ControllerMetrics(controllers, election)
    pages = monitoring_routes(metrics.render, CONTENT_TYPE_LATEST, lambda: _missing(controllers))
    app = Starlette(routes=[index_route("controllers of a Kubernetes cluster", MONITORING, {}), *pages])
    return pages_guarded(app, "", on_loopback=is_loopback(split_address(listen)[0]))
