"""Attempts to load that failed: how often, in whose words, and when the next one is due.

Lives here: the memory, which begins with what the statuses say, so that a new leader does not begin at once again.
Not here: the attempts (controller).
"""

from collections.abc import Collection, Container, Mapping
from datetime import datetime
from random import Random

from controllers.modeladapter.objects import Adapter, Failure
from kube.backoff import Backoff
from kube.objects import Key
from kube.times import timestamp

RETRIES = Backoff(first_s=5.0, cap_s=300.0)
"""AIBrix's: 5 s, doubled up to 5 minutes."""


class Failures:
    """By adapter and pod."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._known: dict[Key, dict[Key, Failure]] = {}

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()

    def know(self, adapters: Mapping[Key, Adapter]) -> None:
        """Take in what the status of adapters that are new here says, and forget those that are gone."""
        for key in self._known.keys() - adapters.keys():
            del self._known[key]
        for key, adapter in adapters.items():
            if key not in self._known:
                told = adapter.status.failures if adapter.status else ()
                space = adapter.metadata.namespace
                self._known[key] = {f"{space}/{failure.pod}": failure for failure in told}

    def pairs(self, now_s: float) -> frozenset[tuple[Key, Key]]:
        """Return the adapters and pods on which no attempt is due yet, because the last one failed."""
        return frozenset(
            (key, pod) for key, failures in self._known.items() for pod in failures if self.wait_s(key, pod, now_s) > 0
        )

    def keep(self, lacking: Collection[Key], pods: Container[Key], now_s: float) -> None:
        """Forget failures on pods that are gone, and those of adapters that lack nothing once they are past."""
        for key, failures in self._known.items():
            for pod in list(failures):
                if pod not in pods or (key not in lacking and self.wait_s(key, pod, now_s) <= 0):
                    del failures[pod]

    def of(self, key: Key) -> tuple[Failure, ...]:
        """Return the failures of an adapter, by name of the pod."""
        return tuple(failure for _, failure in sorted(self._known.get(key, {}).items()))

    def wait_s(self, key: Key, pod: Key, now_s: float) -> float:
        """Return in how many seconds an attempt is due; 0 where it is."""
        failure = self._known.get(key, {}).get(pod)
        if failure is None or not failure.next_time:
            return 0.0
        return max(0.0, datetime.fromisoformat(failure.next_time).timestamp() - now_s)

    def add(self, key: Key, pod: Key, message: str, now_s: float) -> float:
        """Count a failure; return in how many seconds the next attempt is due."""
        of_adapter = self._known.setdefault(key, {})
        attempts = of_adapter[pod].attempts + 1 if pod in of_adapter else 1
        wait_s = RETRIES.wait_s(attempts, self._rng)
        of_adapter[pod] = Failure(pod.partition("/")[2], attempts, message, timestamp(now_s + wait_s))
        return wait_s

    def forget(self, key: Key, pod: Key) -> None:
        """Forget the failures on a pod: an attempt went well."""
        self._known.get(key, {}).pop(pod, None)
