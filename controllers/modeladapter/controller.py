"""The controller of LoRA adapters: asks engines what they have, plans where adapters go, and does what lies between.

Three kinds of work wait in one queue: a pod whose engine is asked every few seconds, an adapter whose status, Service
and EndpointSlice are written, and the loading of one adapter on one pod, which may take minutes and holds up nothing
else.  An engine that was started again lists no adapters, so they are loaded again.

Lives here: which sets are followed, the order of the work, its retries.  Not here: where adapters go (plan), what is
written (status, services), calls to engines (engines).
"""

import asyncio
import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from random import Random
from typing import Any, ClassVar

import msgspec

from controllers.controller import look_at_changes, unfollowed
from controllers.modeladapter.engines import EngineError, Engines
from controllers.modeladapter.failures import Failures
from controllers.modeladapter.objects import (
    ADAPTERS,
    FINALIZER,
    PODS,
    Adapter,
    Claim,
    Host,
    Pod,
    claims_of,
    host_of,
    is_ready,
    selected,
)
from controllers.modeladapter.plan import Look, Probe, Wish, plan
from controllers.modeladapter.services import SERVICES, SLICES, endpoint_slice, publish, service
from controllers.modeladapter.status import status_of
from controllers.owned import MANAGED_BY, US
from kube.client import ALL, Client, Selection
from kube.errors import ApiError, NotFound
from kube.events import About, Recorder
from kube.informer import Informer, Pace
from kube.objects import Key, Kind, Metadata, Object, body
from kube.queue import WorkQueue
from kube.times import Clocks
from routing.placement import Policy

WORKERS = 32
"""Calls at a time (chosen): most wait for an engine."""
PACE = Pace(gather_s=0.1)
PROBE_S = 3.0
"""Time between two questions to an engine (chosen): so long an engine that lost its adapters may go unnoticed, where no
change of its pod tells it sooner."""
GOODBYE_S = 30.0
"""Time after which an adapter that is deleted is given up on engines that do not answer."""
DOUBT_S = 1.0
"""Time until an engine that did not answer is asked again."""
MEASURED = (Policy.LEAST_LATENCY, Policy.LEAST_THROUGHPUT)
"""Policies for which engines are measured all the time."""
CREDENTIALS = "spec.credentialsSecretRef.name"
OURS = f"{MANAGED_BY}={US}"


class Secret(Object, frozen=True):
    """Credentials of a store of adapters; values in base64."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


SECRETS = Kind("", "v1", "Secret", "secrets", Secret)


class ModelAdapterController:
    """All ModelAdapters of a cluster."""

    name: ClassVar[str] = "modeladapter"

    def __init__(
        self, client: Client, new_engines: Callable[[], Engines], recorder: Recorder, clocks: Clocks, rng: Random
    ) -> None:
        def informer(kind: Kind[Any], selection: Selection = ALL) -> Informer[Any]:
            return Informer(client, kind, selection, rng, PACE)

        self._client, self._new_engines, self._recorder, self._clocks, self._rng = (
            client, new_engines, recorder, clocks, rng,
        )  # fmt: skip
        self._adapters: Informer[Adapter] = informer(ADAPTERS)
        self._pods: Informer[Pod] = informer(PODS)
        ours = Selection(labels=OURS)
        self._services: Informer[Object] = informer(SERVICES, ours)
        self._slices: Informer[Object] = informer(SLICES, ours)
        self._probes: dict[Key, Probe] = {}
        self._wishes: dict[Key, Wish] = {}
        self._claims: dict[Key, Claim] = {}
        self._failures = Failures(rng)
        self._settled: dict[Key, tuple[object, ...]] = {}
        """The state in which each adapter was worked on last; while it is the same there is nothing to do."""
        self._clashes: dict[Key, str] = {}
        self._tried: dict[Key, set[Host]] = {}
        """The engines that were asked to load each adapter: what they list may be older."""
        self.queue = WorkQueue(clocks.monotonic, rng)

    @property
    def followed(self) -> Sequence[Informer[Any]]:
        """The sets that it follows."""
        return self._adapters, self._pods, self._services, self._slices

    def missing(self) -> Iterator[str]:
        """Yield why it cannot work; where the kind of adapters is not installed there is nothing to do."""
        return iter(()) if self._adapters.is_absent else unfollowed(self.followed)

    def states(self) -> dict[str, int]:
        """Return how many adapters answer requests and how many do not."""
        ready = [is_ready(adapter) for adapter in self._adapters.objects.values()]
        return {"ready": sum(ready), "not ready": len(ready) - sum(ready)}

    async def lead(self) -> None:
        """Look after each change of a set, and do what is due; nothing is left of it when that ends."""
        try:
            async with self._new_engines() as self._engines, asyncio.TaskGroup() as tasks:
                for informer in self.followed:
                    tasks.create_task(look_at_changes(informer, self._look), name=f"look at {informer.kind.name}")
                for _ in range(WORKERS):
                    tasks.create_task(self.queue.work(self._work), name="work")
                self._look()
        finally:
            self.queue.clear()
            for known in (self._probes, self._wishes, self._claims, self._settled, self._clashes, self._tried):
                known.clear()
            self._failures.clear()

    def _look(self) -> None:
        """Plan anew, and have worked on what is otherwise; wait where a set is not known yet."""
        if not all(informer.is_listed for informer in self.followed):
            return
        adapters = self._adapters.objects
        chosen = {key: selected(adapter, self._pods.objects) for key, adapter in adapters.items()}
        self._claims = claims_of(adapters, chosen)
        hosts = {key: [host_of(pod, self._claims) for pod in pods] for key, pods in chosen.items()}
        self._follow_pods(host for some in hosts.values() for host in some)
        now_s = self._clocks.wall()
        self._failures.know(adapters)
        look = Look(adapters, hosts, self._probes, self._wishes, self._failures.pairs(now_s), self._claims)
        self._wishes = plan(look, self._rng)
        self._failures.keep({key for key, wish in self._wishes.items() if wish.lacking}, self._pods.objects, now_s)
        for key in adapters:
            if self._settled.get(key) != self._state(key):
                self.queue.add(f"adapter/{key}")
            for host in self._wishes.get(key, Wish()).lacking:
                self.queue.add(f"load/{key}@{host.name}", self._failures.wait_s(key, host.key, now_s))

    def _follow_pods(self, selected_hosts: Iterable[Host]) -> None:
        """Ask the engines of pods that adapters select; at once where a pod is new or its engine was started again."""
        hosts = {host.key: host for host in selected_hosts}
        for key in self._probes.keys() - hosts.keys():
            del self._probes[key]
        for key, host in hosts.items():
            if key not in self._probes or self._probes[key].host != host:
                self.queue.add(f"pod/{key}")

    def _state(self, key: Key) -> tuple[object, ...]:
        """Return everything that the work on an adapter depends on."""
        objects = [informer.objects.get(key) for informer in (self._services, self._slices)]
        return self._adapters.objects.get(key), self._wishes.get(key), self._failures.of(key), *objects

    async def _work(self, item: Key) -> float | None:
        """Do one piece of work; return when to do it again.  Raises ApiError."""
        kind, _, key = item.partition("/")
        if kind == "pod":
            return await self._probe(key)
        if kind == "load":
            return await self._load(*key.split("@"))
        adapter = self._adapters.objects.get(key)
        if adapter is None:
            self._settled.pop(key, None)
            self._clashes.pop(key, None)
            self._tried.pop(key, None)
            return None
        if adapter.is_going:
            await self._finish(adapter)
            return None
        return await self._write(adapter)

    async def _probe(self, key: Key) -> float | None:
        """Ask an engine for its models; look again where its answer is another one than before.

        One that does not answer is asked once more before its adapters go elsewhere: it may only be busy.
        """
        pod = self._pods.objects.get(key)
        choosers = [one for one in self._adapters.objects.values() if pod and selected(one, {key: pod})]
        if pod is None or not choosers:
            return None
        host, config = host_of(pod, self._claims), choosers[0].spec.additional_config
        before = self._probes.get(key)
        try:
            models: frozenset[str] | None = await self._engines.models(host, config)
        except EngineError:
            models = None
            if before and before.host == host and before.models is not None and not before.is_doubtful:
                self._probes[key] = before._replace(is_doubtful=True)
                return DOUBT_S
        is_news = before is None or before.host != host or before.models != models
        if is_news or any(one.policy in MEASURED for one in choosers):
            self._probes[key] = await self._probed(before, host, models, config)
        elif before:
            self._probes[key] = before._replace(is_doubtful=False)
        if is_news:
            self._look()
        return PROBE_S

    async def _probed(
        self, before: Probe | None, host: Host, models: frozenset[str] | None, config: Mapping[str, str]
    ) -> Probe:
        """Return an engine's answer with what its metrics say, from which placement ranks it."""
        now_s = self._clocks.monotonic()
        slots, latency_s, tokens = (None,) * 3 if models is None else await self._engines.work(host, config)
        rate = None
        if before and before.tokens is not None and tokens is not None and tokens >= before.tokens:
            rate = (tokens - before.tokens) / max(now_s - before.at_s, PROBE_S)
        return Probe(host, models, slots, latency_s, tokens, rate, now_s)

    async def _load(self, key: Key, pod_name: str) -> float | None:
        """Load an adapter on a pod, if that is still wanted; a failure is tried again, each time later."""
        adapter, host = self._adapters.objects.get(key), self._lacking(key, pod_name)
        if adapter is None or adapter.is_going or host is None:
            return None
        if (wait_s := self._failures.wait_s(key, host.key, self._clocks.wall())) > 0:
            return wait_s
        about = About(ADAPTERS, adapter.metadata)
        self._tried.setdefault(key, set()).add(host)
        try:
            await self._engines.load(host, adapter, await self._credentials(adapter))
        except EngineError as error:
            again_s = self._failures.add(key, host.key, str(error), self._clocks.wall())
            await self._recorder.tell(about, "LoadFailed", f"{host.name}: {error}", warning=True)
            self._look()
            return again_s
        now = self._adapters.objects.get(key)
        if now is None or now.is_going:
            await self._unload(host, adapter)  # it was deleted meanwhile
            return None
        self._failures.forget(key, host.key)
        await self._recorder.tell(about, "Loaded", f"on pod {host.name}")
        self.queue.add(f"pod/{host.key}")
        return None

    def _lacking(self, key: Key, pod_name: str) -> Host | None:
        lacking = self._wishes.get(key, Wish()).lacking
        return next((host for host in lacking if host.name == pod_name), None)

    async def _credentials(self, adapter: Adapter) -> Mapping[str, str]:
        """Return the credentials that an adapter names, of its own namespace only.  Raises EngineError without them."""
        reference = adapter.spec.credentials_secret_ref
        if reference is None or not reference.name:
            return {}
        try:
            secret = await self._client.get(SECRETS, reference.name, adapter.metadata.namespace)
        except NotFound as error:
            raise EngineError(f"{CREDENTIALS} = {reference.name}: there is no such Secret") from error
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            raise EngineError(f"{CREDENTIALS} = {reference.name}: a Role has to let the controllers get it") from error
        return {name: base64.b64decode(value).decode(errors="replace") for name, value in secret.data.items()}

    async def _write(self, adapter: Adapter) -> float | None:
        """Make what is told of an adapter true: gateways first, then the engines that it leaves."""
        key, meta = adapter.metadata.key, adapter.metadata
        if FINALIZER not in meta.finalizers:
            await self._set_finalizers(meta, [*meta.finalizers, FINALIZER])
            return None
        state, wish = self._state(key), self._wishes.get(key, Wish())
        if wish.unknown and key not in self._settled:
            return None  # the last leader knew more
        if not wish.invalid:
            clashes = [
                await publish(self._client, kind, wanted)
                for kind, wanted in ((SERVICES, service(adapter)), (SLICES, endpoint_slice(adapter, wish)))
            ]
            self._clashes[key] = "; ".join(filter(None, clashes))
        await self._write_status(adapter, wish)
        for host in wish.surplus:
            await self._unload(host, adapter)
        self._settled[key] = state
        return PROBE_S if wish.surplus else None

    async def _write_status(self, adapter: Adapter, wish: Wish) -> None:
        key, meta = adapter.metadata.key, adapter.metadata
        clash = self._clashes.get(key, "")
        status = status_of(adapter, wish, self._failures.of(key), clash, self._clocks.wall())
        if status != adapter.status:
            told = body(ADAPTERS, meta.name, meta.namespace, status=msgspec.to_builtins(status))
            await self._client.apply(ADAPTERS, told, "status", force=True)

    async def _unload(self, host: Host, adapter: Adapter) -> None:
        """Unload an adapter; an engine that refuses is asked again later, while the adapter is there."""
        with suppress(EngineError):
            await self._engines.unload(host, adapter)
        self.queue.add(f"pod/{host.key}")

    async def _finish(self, adapter: Adapter) -> None:
        """Unload an adapter that is being deleted, as far as engines answer in time, and let it go."""
        if FINALIZER not in adapter.metadata.finalizers:
            return
        hosts = [host_of(pod, self._claims) for pod in selected(adapter, self._pods.objects)]
        tried = self._tried.get(adapter.metadata.key, set())
        there = [host for host in hosts if host in tried or self._has(host, adapter)]
        try:
            async with asyncio.timeout(GOODBYE_S), asyncio.TaskGroup() as tasks:
                for host in there:
                    tasks.create_task(self._unload(host, adapter), name=f"unload {host.name}")
        except TimeoutError:
            note = f"not unloaded from every engine within {GOODBYE_S:g} s"
            await self._recorder.tell(About(ADAPTERS, adapter.metadata), "UnloadFailed", note, warning=True)
        kept = [name for name in adapter.metadata.finalizers if name != FINALIZER]
        await self._set_finalizers(adapter.metadata, kept)

    def _has(self, host: Host, adapter: Adapter) -> bool:
        probe = self._probes.get(host.key)
        return probe is None or probe.models is None or adapter.metadata.name in probe.models

    async def _set_finalizers(self, meta: Metadata, finalizers: Sequence[str]) -> None:
        fields = {"metadata": {"resourceVersion": meta.resource_version, "finalizers": list(finalizers)}}
        with suppress(NotFound):
            await self._client.merge(ADAPTERS, meta.name, meta.namespace, fields)
