"""Observations for tests of autoscalers, and a target that does at once what is decided."""

from collections.abc import Callable

from autoscaling.decision import Decision, Strategy
from autoscaling.observation import Observation, PodReading


def seen(
    now_s: float,
    ready: int,
    *values: float | None,
    metric: str = "running",
    starting: int | None = None,
    wakes: bool = False,
) -> Observation:
    """Return an observation of pods with these values of one metric; None = a pod that was not read."""
    pods = tuple(
        PodReading(f"p{index}", metrics={} if value is None else {metric: value}) for index, value in enumerate(values)
    )
    return Observation(now_s, ready, starting, pods=pods, wakes=wakes)


def follow(
    strategy: Strategy, load: Callable[[float], float], replicas: int, times: range, metric: str = "running"
) -> dict[int, Decision]:
    """Return the decision at each time for a load that the ready pods share, with replicas that follow at once."""
    decisions = {}
    for now_s in times:
        shares = [load(now_s) / replicas] * replicas
        decisions[now_s] = strategy.decide(seen(now_s, replicas, *shares, metric=metric))
        replicas = decisions[now_s].desired
    return decisions
