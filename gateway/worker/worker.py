"""The composition root of one worker: makes clocks, randomness, connections and background tasks, and wires objects.

Lives here: which objects exist and how they are wired.  Not here: what they do; how a worker process starts (launch,
process).
"""

import asyncio
import gc
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import structlog
from starlette.types import ASGIApp

from gateway.accounting.calibration import Calibration
from gateway.accounting.deliveries import Deliveries
from gateway.accounting.ledger import Ledger
from gateway.admin.app import CALLS, create_admin_app
from gateway.admission.admit import Admission, exchange_ids
from gateway.admission.identity import Identity
from gateway.admission.inquiries import Inquiries
from gateway.admission.pending import LoopTimer
from gateway.admission.plan import Planner
from gateway.admission.queue import AdmissionQueue
from gateway.admission.reply import Replies
from gateway.admission.tolls import Tolls
from gateway.config.addresses import is_loopback, reachable_address, split_address
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.discovery.naming import ModelNames
from gateway.discovery.probing import model_lists
from gateway.discovery.probing.health import HealthChecker, HttpProbe
from gateway.discovery.probing.model_lists import Listing, ModelLists
from gateway.discovery.probing.readings import Readings
from gateway.discovery.probing.rounds import Rounds
from gateway.discovery.probing.scraping import HttpFetch, Poller
from gateway.discovery.sources import discovery_for
from gateway.discovery.static import Reload, log_reload
from gateway.fleet.catalogue import Catalogue
from gateway.fleet.decisions import pod_page
from gateway.fleet.fleet import Fleet
from gateway.fleet.loads import is_busy, loads
from gateway.fleet.outbox import Outbox
from gateway.observability import metrics
from gateway.observability.guard import pages_guarded
from gateway.observability.http import MONITORING, create_http_app, index_route, monitoring_routes
from gateway.observability.metrics import Metrics
from gateway.openai.rewrites import Rewrites
from gateway.serving.certificates import certificates_of
from gateway.serving.service import Service
from gateway.sharing.channels import Channels, Post
from gateway.sharing.replicas import Replicas
from gateway.sharing.sharing import Sharing
from gateway.worker.adapting import Adapting
from gateway.worker.launch import Place
from gateway.worker.planning import Planning
from gateway.worker.readiness import Readiness
from ratelimit.accounts.groups import GroupStore
from ratelimit.accounts.keyring import KeyRing
from ratelimit.accounts.keys import KeyStore
from ratelimit.accounts.users import UserStore, UserStoreUnavailableError
from ratelimit.fallback import LocalFallback
from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis.apart import ClusterLimiter
from ratelimit.redis.limiter import RedisLimiter
from routing.table import STRATEGIES
from routing.types import PodId
from traffic.connection import RedisAwayError

log = structlog.get_logger("app")

REPORT_S = 1.0
"""Seconds between refreshes of gauges that no event updates: endpoints, Redis (chosen: below any scrape interval)."""
RETRY_S = 1.0
"""Seconds until a background task that failed is restarted (chosen)."""
GC_THRESHOLDS = (5_000, 400, 20)
"""Thresholds of gc.set_threshold (chosen: Python's took 6 % of a request's CPU; 20,000 objects took up to 5 ms)."""
FIRST_FLEET_S = 10.0
"""The longest that a worker waits at start for the first result of discovery, in seconds (chosen)."""

REPLICA_BITS = 48
"""Random bits in a replica's name: of 1,000 replicas that ever lived, two share one in one of 10^9 cases (chosen)."""
ENTRIES = "entries"
"""The kind of letters with access-log entries."""


class Worker:
    """All objects of one worker, wired and idle until `running`."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.settings = settings
        self.place = place
        self.replica = f"{random.getrandbits(REPLICA_BITS):0{REPLICA_BITS // 4}x}"
        """The worker's name among its siblings on all hosts, those that ran in its place before it among them."""
        self.certificates = certificates_of(settings)
        self.metrics = Metrics(STRATEGIES, place.metrics_dir)
        self.news = asyncio.Event()
        self.outbox = Outbox(self.replica, self.news.set)
        rng = random.Random()  # noqa: S311 - spreads load, guards nothing
        fail_open = settings.health.fail_open
        self.fleet = Fleet(settings.routing, rng, health_fail_open=fail_open, outbox=self.outbox)
        self.fleet.set_prefix_key(secrets.randbits(64))
        redis = settings.redis
        self.redis_limiter = _redis_limiter(settings, self.replica)
        self.limiter = LocalFallback(self.redis_limiter, redis.when_away)
        self.users = UserStore(redis.url, timeout_s=redis.timeout_s, cluster=redis.cluster)
        self.keys = KeyStore(redis.url, redis.timeout_s, time.time, cluster=redis.cluster)
        self.groups = GroupStore(redis.url, redis.timeout_s, cluster=redis.cluster)
        self.keyring = KeyRing(redis.url, redis.timeout_s, time.time, cluster=redis.cluster)
        self.tolls = Tolls(settings.pools, self.fleet.pools, self.limiter, self.users, time.monotonic)
        self.queue = self._queue(settings, asleep := asyncio.Event())
        self.calibration = Calibration(lambda: self.redis_limiter.share[1])
        self.planning = Planning(
            settings, self.replica, self.fleet, self.queue, asleep, metrics=self.metrics, clock=time.monotonic
        )
        self.ledger = self._ledger(settings)
        self.channels = Channels(redis, self.replica, self.metrics)
        self.replicas = Replicas(self.replica)
        self.catalogue = Catalogue(self.fleet, time.time, [alias.name for alias in settings.aliases])
        self.discovery = discovery_for(settings, os.environ, STRATEGIES, self._on_reload)
        self.readiness = Readiness(self.fleet, self.ledger, self.discovery.behind_s)
        self.rewrites = Rewrites(rng, trusts_header=settings.trusts_picker_headers, is_served=self.catalogue.serves)
        self.deliveries = Deliveries(
            self.replica,
            self.ledger,
            self.limiter,
            Post(ENTRIES, self.channels, self.replicas),
            clock=time.monotonic,
            on_error=self.metrics.count_error,
        )
        self.sharing = self._sharing(settings)
        self.names = ModelNames()
        self.adapting = Adapting(settings, self.replica, self.fleet, self._want, time.time)
        self.service = Service(
            settings,
            self._admission(settings),
            self.ledger,
            self.deliveries,
            ready=self.readiness,
            on_attempt_failed=lambda address: self.fleet.record_failed_attempt(address, time.monotonic()),
            on_error=self.metrics.count_error,
        )
        addresses = _addresses(settings)
        self.http = self._http(addresses)
        self.admin = self._admin(addresses)

    def _http(self, addresses: Mapping[str, str]) -> ASGIApp:
        page, ready = self.metrics.page, self.readiness
        debug = {
            "endpoints": self.readiness.endpoints,
            "decisions": self.fleet.decisions.page,
            "plans": self.planning.hints.page,
            "waiting": self.queue.page,
            "replicas": self.sharing.page,
            "fleet": lambda: [pod_page(pod, time.monotonic()) for pod in self.fleet.pods()],
        }
        return pages_guarded(
            create_http_app(
                page,
                metrics.CONTENT_TYPE,
                ready.reasons,
                debug,
                addresses,
                own_not_ready=ready.own_reasons,
                notes=ready.notes,
            ),
            self.settings.admin_token,
            on_loopback=is_loopback(split_address(self.settings.listen.http)[0]),
        )

    def _admin(self, addresses: Mapping[str, str]) -> ASGIApp:
        return create_admin_app(
            self.users,
            self.keys,
            self.groups,
            self.limiter,
            self.catalogue.cards,
            operations=[
                index_route("the admin REST", CALLS | MONITORING, addresses),
                *monitoring_routes(
                    self.metrics.page, metrics.CONTENT_TYPE, self.readiness.reasons, self.readiness.notes
                ),
            ],
            unavailable=(UserStoreUnavailableError, LimiterUnavailableError, RedisAwayError),
            adapters=self.adapting.desk,
            clock=time.time,
            token=self.settings.admin_token,
            any_host=self.settings.admin_open,
        )

    def _queue(self, settings: Settings, asleep: asyncio.Event) -> AdmissionQueue:
        timer, from_zero = LoopTimer(time.monotonic), settings.scale_from_zero
        return AdmissionQueue(
            self.fleet, settings.routing, timer, self.outbox, from_zero=from_zero, on_asleep=asleep.set
        )

    def _ledger(self, settings: Settings) -> Ledger:
        return Ledger(
            self.queue, self.limiter, self.metrics, settings.limits.settle_grace_s, time.monotonic,
            calibration=self.calibration, traffic=self.planning.counts, pools=self.fleet.pools,
        )  # fmt: skip

    def _admission(self, settings: Settings) -> Admission:
        identity = Identity(settings, self.keyring)
        return Admission(
            identity=identity,
            planner=Planner(settings.limits, self.fleet, trusts_headers=settings.trusts_picker_headers),
            inquiries=Inquiries(identity, self.fleet, self.catalogue, self.limiter),
            rewrites=self.rewrites,
            replies=Replies(self.fleet, identity, settings),
            fleet=self.fleet,
            queue=self.queue,
            limiter=self.limiter,
            ledger=self.ledger,
            metrics=self.metrics,
            traffic=self.planning.counts,
            tolls=self.tolls,
            clock=time.monotonic,
            next_id=exchange_ids(self.place.index, self.replica),
            shadow=settings.routing.shadow,
        )

    def _sharing(self, settings: Settings) -> Sharing:
        return Sharing(
            self.replicas,
            self.channels,
            self.outbox,
            (self.fleet, self.queue),
            secret=secrets.token_hex().encode(),
            on_key=self.fleet.set_prefix_key,
            on_place=self.fleet.ties.among,
            letters={ENTRIES: lambda _sender, body: self.deliveries.receive(body)},
            metrics=self.metrics,
            clock=time.monotonic,
            interval_s=settings.sharing.interval_s,
            news=self.news,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the background tasks while the block runs.

        The block is entered after the first result of discovery.  Leaving it cancels the tasks and closes connections.
        Raises TimeoutError when discovery has no result in FIRST_FLEET_S.
        """
        async with AsyncExitStack() as stack:
            stores = (self.users, self.keys, self.groups, self.keyring, self.planning, self.adapting)
            for store in (self.redis_limiter, self.limiter, *stores, self.channels):
                stack.push_async_callback(store.aclose)
            if self.settings.sharing.enabled:
                stack.push_async_callback(self.sharing.leave)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            jitter, discovered = random.Random(), asyncio.Event()  # noqa: S311 - guards nothing
            health, scrape = self.settings.health, self.settings.scrape
            checker = HealthChecker(health, HttpProbe(health.path), self.fleet.set_health, jitter)
            poller = Poller(scrape, HttpFetch(scrape.path), self._apply_readings, jitter, partial(is_busy, self.fleet))
            lists, adapter_lists = (
                ModelLists(HttpFetch(model_lists.PATH), self._apply_list, jitter, adapters=adapters)
                for adapters in (False, True)
            )
            work: dict[str, Callable[[], Awaitable[None]]] = {
                "discovery": partial(self._discover, (checker, poller, lists, adapter_lists), discovered),
                "health": checker.run,
                "scrape": poller.run,
                "models": lists.run,
                "adapters": adapter_lists.run,
                "ledger": self.ledger.run,
                "renewals": self.ledger.renew,
                "deliveries": self.deliveries.run,
                "limiter": self.redis_limiter.run,
                "metrics": self.metrics.run,
                "report": self._report,
                "tolls": self.tolls.store,
                **self.planning.tasks(),
                **self.adapting.tasks(),
            }
            if self.certificates is not None:
                work["certificates"] = self.certificates.run
            if self.settings.identity == "api_key":
                work["keys"] = self.keyring.run
            if self.settings.sharing.enabled:
                work |= {"tell": self.sharing.tell, "hear": self.sharing.hear, "agree": self.sharing.agree}
            running = [tasks.create_task(self._supervised(name, job), name=name) for name, job in work.items()]
            try:
                async with asyncio.timeout(FIRST_FLEET_S):
                    await discovered.wait()
                with suppress(LimiterUnavailableError):  # or the first request would wait for the connection
                    await self.redis_limiter.beat()
                tune_garbage_collection()
                yield
            finally:
                for task in running:
                    task.cancel()

    async def drain(self) -> None:
        """Report NOT_SERVING, give proxies time to notice, then wait for running requests; at most `drain_s` in all."""
        log.info("draining", open=len(self.ledger))
        drained = await self.readiness.drain(self.settings.drain_s)
        log.info("drained" if drained else "drain_limit_reached", open=len(self.ledger))

    async def _supervised(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("task_failed", task=name)
                self.metrics.count_error(name)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _discover(self, rounds: Sequence[Rounds], discovered: asyncio.Event) -> None:
        async for description in self.discovery.watch():
            await self.planning.waking.settle()
            self._replace(self.names.describe(description))
            self.rewrites.replace(description.rewrites)
            self.calibration.forget({endpoint.id for endpoint in description.endpoints})
            for prober in rounds:
                prober.replace(description.engines)
            discovered.set()

    def _replace(self, description: FleetDescription) -> None:
        self.fleet.replace(description, time.monotonic())
        self.queue.advance(time.monotonic())  # the pod may have come that requests wait for
        self.planning.follow(description)
        self.metrics.add_models([card.name for card in self.catalogue.cards()])
        self.metrics.set_endpoints(self.fleet.endpoint_counts())

    def _want(self, adapters: Mapping[str, str]) -> None:
        """Know these adapters, by name their base models, before engines have them."""
        self._replace(self.names.want(adapters))

    def _apply_list(self, pod: PodId, listing: Listing) -> None:
        """Apply an engine's list of its models, which names those of a pod that nothing else names."""
        if (description := self.names.learn(pod, listing)) is not None:
            self._replace(description)
        lengths = {name: length for name, length in listing.lengths.items() if length is not None}
        self.fleet.set_model_lengths(pod, lengths)

    def _apply_readings(self, pod: PodId, readings: Readings, now_s: float, fresh_until_s: float) -> None:
        """Apply an engine's metrics where they are used: by routing, and by the estimates of tokens."""
        self.fleet.apply_readings(pod, readings, now_s, fresh_until_s)
        self.calibration.counted(pod, readings.finished, now_s)

    def _on_reload(self, reload: Reload) -> None:
        log_reload(reload)
        self.metrics.count_config_reload("failure" if reload.fleet is None else "success")

    async def _report(self) -> None:
        redis_up = True
        while True:
            if self.limiter.up != redis_up:
                redis_up = not redis_up
                why = {} if redis_up else {"why": self.limiter.away_because}
                event = "redis_is_back" if redis_up else "redis_is_away"
                log.warning(event, when_away=self.settings.redis.when_away, **why)
            self.metrics.set_endpoints(self.fleet.endpoint_counts())
            self.metrics.set_pool_costs(self.fleet.pools.hourly_costs())
            self.metrics.set_followed(self.discovery.behind_s())
            self.metrics.set_waiting(waiting := self.queue.waiting())
            self.metrics.set_loads(loads(self.fleet, waiting, time.monotonic()))
            self.metrics.set_redis_up(redis_up)
            await self._report_pause(redis_up)

    async def _report_pause(self, redis_up: bool) -> None:
        """Sleep until the next report; an absence of Redis is reported at once, however short it is."""
        if not redis_up:
            await asyncio.sleep(REPORT_S)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_S):
                await self.limiter.wait_away()


def _addresses(settings: Settings) -> dict[str, str]:
    """Return the addresses of this machine, each with its use, for people who open the wrong one."""
    listen, envoy = settings.listen, settings.envoy
    return {
        f"{envoy.scheme}://{reachable_address(envoy.listen)}": "requests of users, through Envoy",
        f"{listen.scheme('admin')}://{reachable_address(listen.admin)}": "the admin REST",
        f"{listen.scheme('http')}://{reachable_address(listen.http)}": "pages for operators",
    }


def _redis_limiter(settings: Settings, replica: str) -> RedisLimiter:
    redis, compat = settings.redis, settings.compat == "v0.2.1"
    limiter = ClusterLimiter if redis.cluster else RedisLimiter
    return limiter(redis.url, timeout_s=redis.timeout_s, compat=compat, replica=replica)


def tune_garbage_collection() -> None:
    """Exclude the objects of start-up from collections and collect less often: requests make no reference cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
