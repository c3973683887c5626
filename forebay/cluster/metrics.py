"""The metrics of a process that runs controllers, read when somebody asks.

Lives here: their names and where each figure is.  Not here: HTTP (gateway.observability.http).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controllers.controller import Controller
from kube.election import Election
from kube.informer import Informer


class ControllerMetrics(Collector):
    """The figures of all controllers of a process."""

    def __init__(self, controllers: Sequence[Controller], election: Election) -> None:
        self._controllers = controllers
        self._election = election
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the page for Prometheus."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not read the figures."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its figures of this moment."""
        yield GaugeMetricFamily(
            "forebay_controllers_leading", "1 in the process that acts, 0 in those that stand by.",
            value=self._election.is_leader,
        )  # fmt: skip
        yield from self._queues()
        yield from self._sets()

    def _queues(self) -> Iterator[Metric]:
        label = ["controller"]
        waiting = GaugeMetricFamily("forebay_controller_queue", "Objects that wait to be worked on.", labels=label)
        failing = GaugeMetricFamily(
            "forebay_controller_failing", "Objects whose last attempt failed; it is repeated.", labels=label
        )
        attempts = CounterMetricFamily(
            "forebay_controller_attempts", "Attempts on objects, by outcome.", labels=[*label, "outcome"]
        )
        objects = GaugeMetricFamily("forebay_controller_objects", "Objects made, by state.", labels=[*label, "state"])
        for one in self._controllers:
            waiting.add_metric([one.name], len(one.queue))
            failing.add_metric([one.name], len(one.queue.failing))
            attempts.add_metric([one.name, "done"], one.queue.attempts.done)
            attempts.add_metric([one.name, "failed"], one.queue.attempts.failed)
            for state, count in one.states().items():
                objects.add_metric([one.name, state], count)
        yield from (waiting, failing, attempts, objects)

    def _sets(self) -> Iterator[Metric]:
        label = ["kind"]
        current = GaugeMetricFamily("forebay_kubernetes_followed", "1 if the set is the API server's.", labels=label)
        behind = GaugeMetricFamily(
            "forebay_kubernetes_behind_seconds",
            "Time since the set was last the API server's; 0 while its kind is not installed.", labels=label,
        )  # fmt: skip
        objects = GaugeMetricFamily("forebay_kubernetes_objects", "Objects in the set.", labels=label)
        for informer in self._informers():
            kind = [informer.kind.name]
            current.add_metric(kind, informer.is_current)
            behind.add_metric(kind, 0.0 if informer.is_absent else informer.behind_s())
            objects.add_metric(kind, len(informer.objects))
        yield from (current, behind, objects)

    def _informers(self) -> Iterator[Informer[Any]]:
        return (informer for controller in self._controllers for informer in controller.followed)
