"""The pods of a target: their own pages, and what the cluster's metrics APIs say of them.

Lives here: which pages are asked for, readings of those that answered, a sentence on those that did not.  Not here: the
calls (pages, apis), counters (engines).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from autoscaling.exposition import Exposition
from autoscaling.observation import Latency, PodReading
from autoscaling.spec import Source, SourceKind
from controllers.podautoscaler.observing import ScaledPod
from controllers.podautoscaler.sources.apis import MetricsApis
from controllers.podautoscaler.sources.engines import SETTLE_S, Engines, latency, reading
from controllers.podautoscaler.sources.pages import Pages, SourceError, url

ENGINE = Source(SourceKind.POD, metric="", target=0.0, path="/metrics")
"""The page of an engine, which strategy SLO reads without being told."""
MOST_NAMED = 3
"""Pods that a sentence names; people read it (chosen)."""
BY_API = (SourceKind.RESOURCE, SourceKind.CUSTOM)


class Look(NamedTuple):
    """The ready pods as far as they were read."""

    readings: tuple[PodReading, ...]
    latency: Latency | None
    failures: tuple[str, ...]


class _Found:
    """Pages and values by pod, and what is missing, while a look lasts."""

    def __init__(self, pods: Sequence[ScaledPod]) -> None:
        self.pods = pods
        self.asked: dict[str, asyncio.Task[Exposition | SourceError]] = {}  # by URL
        self.pages: dict[str, Exposition] = {}
        self.values: dict[str, dict[str, float]] = {}
        self.failures: list[str] = []

    def take(self, source: Source, values: Mapping[str, float | str]) -> None:
        """Take what a source says of pods: a value, or why it has none."""
        missing = {}
        for pod, value in values.items():
            if isinstance(value, str):
                missing[pod] = value
            else:
                self.values.setdefault(pod, {})[source.metric] = value
        self.miss(missing)

    def miss(self, missing: Mapping[str, str]) -> None:
        """Say which pods have no value, and why."""
        if missing:
            named = "; ".join(f"{pod}: {why}" for pod, why in list(missing.items())[:MOST_NAMED])
            more = f"; and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
            self.failures.append(f"{len(missing)} of {len(self.pods)} ready pods were not read: {named}{more}")

    def readings(self) -> tuple[PodReading, ...]:
        """Return the pods of which anything is known."""
        names = [pod.name for pod in self.pods if pod.name in self.pages or pod.name in self.values]
        return tuple(reading(name, self.pages.get(name), self.values.get(name, {})) for name in names)


class Pods:
    """Looks at pods.  `now_s` returns seconds since the epoch."""

    def __init__(self, pages: Pages, apis: MetricsApis, now_s: Callable[[], float]) -> None:
        self._pages, self._apis, self._now_s = pages, apis, now_s

    async def look(
        self, sources: Sequence[Source], namespace: str, pods: Sequence[ScaledPod], engines: Engines
    ) -> Look:
        """Ask all sources that are of pods for these, the ready ones.

        A pod whose engine began anew a moment ago is as one that was not read: that it is empty does not mean that
        nobody asks.
        """
        found = _Found(pods)
        scraped = [self._scrape(source, found) for source in sources if source.kind is SourceKind.POD]
        asked = [self._ask(source, namespace, found) for source in sources if source.kind in BY_API]
        await asyncio.gather(*scraped, *asked)
        steps = {name: engines.step(name, page, self._now_s()) for name, page in found.pages.items()}
        restarted = [name for name, step in steps.items() if step is None]
        for name in restarted:
            del found.pages[name]
            found.values.pop(name, None)
        found.miss(dict.fromkeys(restarted, f"its engine began anew within {SETTLE_S:g} s"))
        return Look(found.readings(), latency([step for step in steps.values() if step]), tuple(found.failures))

    async def _scrape(self, source: Source, found: _Found) -> None:
        """Take a metric from the pods' own pages; a page with several metrics is asked for once."""
        addresses = {pod.name: url(source, pod.ip, source.port or str(pod.port)) for pod in found.pods}
        for address in addresses.values():
            if address not in found.asked:
                found.asked[address] = asyncio.create_task(self._page(address), name="page")
        values: dict[str, float | str] = {}
        for pod, address in addresses.items():
            page = await found.asked[address]
            if isinstance(page, SourceError):
                values[pod] = str(page)
                continue
            found.pages[pod] = page
            if source.metric:
                value = page.value(source.metric)
                values[pod] = f"{address} has no metric {source.metric}" if value is None else value
        found.take(source, values)

    async def _page(self, address: str) -> Exposition | SourceError:
        try:
            return await self._pages.of_pod(address)
        except SourceError as error:
            return error

    async def _ask(self, source: Source, namespace: str, found: _Found) -> None:
        """Take a metric that an API of the cluster has."""
        try:
            there = await self._apis.of_pods(source, namespace)
        except SourceError as error:
            found.failures.append(str(error))
            return
        missing = f"{source.kind} metric {source.metric} is not there"
        found.take(source, {pod.name: there.get(pod.name, missing) for pod in found.pods})
