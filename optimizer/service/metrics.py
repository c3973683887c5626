"""The optimizer's own metrics, read off the board when Prometheus asks.

Lives here: their names and where each figure is.  Not here: the gauge that autoscalers read (published), HTTP (pages).
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from optimizer.service.board import Board, Model
from optimizer.service.published import unserved_share

ALARM = 0.2
"""Share of requests that may go elsewhere than planned before it is an alarm."""

Figure = tuple[str, str, float | None]
"""Name, help, value; None is left out."""


class OptimizerMetrics(Collector):
    """The figures of all models."""

    def __init__(self, board: Board) -> None:
        self._board = board
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
        board = self._board
        yield _gauge("redis_up", "1 if Redis answered when it was last asked.", not board.redis_problem)
        yield _gauge(
            "deployments_current", "1 if the source of deployments is followed.", not board.deployments_problem()
        )
        gauges: dict[str, GaugeMetricFamily] = {}
        windows = CounterMetricFamily(
            "forebay_optimizer_windows_read", "Windows of traffic that were read.", labels=["model"]
        )
        for model in board.models.values():
            windows.add_metric([model.name], model.windows)
            for name, text, value in _figures(board, model):
                if value is not None:
                    gauge = gauges.setdefault(name, _family(name, text, "model"))
                    gauge.add_metric([model.name], value)
        yield windows
        yield from gauges.values()
        yield from self._deployments()

    def _deployments(self) -> Iterator[Metric]:
        labels = ("model", "namespace", "deployment")
        replicas = _family("replicas", "Replicas that are published.", *labels)
        share = _family("split_ratio", "Share of requests of the last minute, as planned and as sent.",
                        "model", "deployment", "kind")  # fmt: skip
        for model in self._board.models.values():
            for each in model.deployments:
                published = self._board.published(each.key)
                if published is not None:
                    replicas.add_metric([model.name, each.namespace, each.name], published)
            for name, (planned, sent) in sorted(model.split().items()):
                share.add_metric([model.name, name, "planned"], planned)
                share.add_metric([model.name, name, "sent"], sent)
        yield from (replicas, share)


def _figures(board: Board, model: Model) -> Iterator[Figure]:
    decision, window, drift = model.decision, model.last, model.drift()
    age_s = None if window is None else board.now_s() - window.starts_at_s - window.duration_s
    yield "trace_age_seconds", "Time since the end of the last window that was read.", age_s
    profiled = sum(each.key in board.shelf.places for each in model.deployments)
    yield "profiled_ratio", "Deployments with a profile, of all.", profiled / len(model.deployments)
    yield "failing", "1 while the last attempt to decide failed.", bool(model.failure)
    yield "split_drift_ratio", "Share of requests of the last minute that went elsewhere than planned.", drift
    yield "split_alarm", f"1 while that is more than {ALARM:g}.", None if drift is None else drift > ALARM
    if decision is None:
        return
    yield "decision_age_seconds", "Time since the last decision.", board.now_s() - model.decided_at_s
    yield "decision_seconds", "Time that the last decision took.", model.took_s
    yield "demand_requests_per_second", "The rate that is planned for.", decision.demand.rate
    yield "cost_per_hour", "Money for the replicas that were decided.", decision.cost
    yield "unserved_requests_per_second", "Requests that the plan leaves unserved.", decision.unserved_rate
    share = unserved_share(decision)
    yield "coverage_ratio", "Share of the requests that the plan serves.", None if share is None else 1.0 - share
    yield "held", "Changes that are put off, or 1 while the last decision is kept.", len(decision.held)
    if decision.plan is not None:
        yield "plan_cost_per_hour", "Money for the replicas of the plan.", decision.plan.cost
        yield "plan_gap_ratio", "At most this share of the plan's cost could be saved.", decision.plan.gap


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"forebay_optimizer_{name}", text, labels=list(labels))


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"forebay_optimizer_{name}", text, value=value)
