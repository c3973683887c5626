"""The LoRA adapters that a pod has loaded, by an LRU model of its engine's slots.

Lives here: the model.  Not here: what an adapter's load costs (routing.strategies), the engine's metrics
(gateway.discovery.probing).

An engine keeps an adapter in its slot until another one needs it (vLLM `max_loras`, SGLang `max_loras_per_batch`), so
an idle pod keeps its adapters for any time.  A use is learned from requests that the pod answered and from its metrics,
never from a request that was refused, failed or given up before anything came.
"""

from collections import Counter
from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import NamedTuple

DEFAULT_SLOTS = 1
"""Slots of an engine that does not report them: vLLM's default of `max_loras`."""


class AdapterUse(NamedTuple):
    """The use of adapters that an engine reports."""

    active: Set[str] = frozenset()  # with requests running or waiting
    used_s: Mapping[str, float] = MappingProxyType({})  # adapter -> when it last had some, by the engine's clock
    slots: int = 0  # adapters that it keeps loaded; 0 = not reported


NO_USE = AdapterUse()


class Adapters:
    """The adapters of one pod by name."""

    __slots__ = ("_open", "_reported", "_slots", "_used")

    def __init__(self) -> None:
        self._slots = DEFAULT_SLOTS
        self._used: dict[str, None] = {}  # the least recently used first; at most `_slots`
        self._open: Counter[str] = Counter()  # requests that were sent and whose end is not known yet
        self._reported = NO_USE

    @property
    def slots(self) -> int:
        """Adapters that the engine keeps loaded, as far as is known."""
        return self._slots

    def is_loaded(self, adapter: str) -> bool:
        """Whether the adapter is loaded, or being loaded for a request in flight."""
        return adapter in self._used or adapter in self._reported.active or self._open[adapter] > 0

    def start(self, adapter: str) -> None:
        """Count a request that is sent to the pod."""
        self._open[adapter] += 1

    def end(self, adapter: str, *, used: bool) -> None:
        """Forget a request whose end is known; `used`: the pod answered it."""
        self._open[adapter] -= 1
        if self._open[adapter] <= 0:
            del self._open[adapter]
        if used:
            self.use(adapter)

    def use(self, adapter: str) -> None:
        """Make the adapter the most recently used one."""
        self._used.pop(adapter, None)
        self._used[adapter] = None
        while len(self._used) > self._slots:
            del self._used[next(iter(self._used))]

    def observe(self, use: AdapterUse) -> None:
        """Learn from the engine's metrics, which also count the requests of other workers and clients."""
        if use.slots:
            self._slots = use.slots
        used_s, before = use.used_s, self._reported.used_s
        for adapter in sorted(used_s, key=used_s.__getitem__):
            if used_s[adapter] != before.get(adapter):
                self.use(adapter)
        self._reported = use

    def clear(self) -> None:
        """Forget what is loaded: the engine has restarted.  Requests in flight stay counted."""
        self._used, self._reported = {}, NO_USE
