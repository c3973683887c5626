"""Values of metrics in an observation: of one pod, of a whole target, and what pods count as that were not read.

Lives here: from an observation to a number or None.  Not here: windows and replicas (strategies), how metrics are read
(controllers.podautoscaler).
"""

from collections.abc import Mapping
from math import ceil

from autoscaling.observation import Observation, PodReading
from autoscaling.spec import Source, SourceKind
from autoscaling.values import MOST_COUNT

MOST_VALUE = 1e15
"""Values above this are no measurements (chosen: thousandths of it are exact)."""
IN_FLIGHT = "in_flight"
"""Requests in the engine: running and waiting ones together."""
FIELDS: Mapping[str, str] = {
    "running": "running",
    "num_requests_running": "running",
    "num_running_reqs": "running",
    "waiting": "waiting",
    "num_requests_waiting": "waiting",
    "num_queue_reqs": "waiting",
    "queue_size": "waiting",
    "kv_usage": "kv_usage",
    "kv_cache_usage_perc": "kv_usage",
    "gpu_cache_usage_perc": "kv_usage",
    "token_usage": "kv_usage",
    "waiting_tokens": "waiting_tokens",
    "prefill_tokens": "prefill_tokens",
}
"""Name of a metric without the engine's prefix -> the field of a reading that has it."""


def pod_value(pod: PodReading, metric: str) -> float | None:
    """Return a pod's value: what was read by that name, else the field of that meaning; None = not read."""
    value = pod.metrics.get(metric)
    if value is None:
        name = metric.rpartition(":")[2]
        if name == IN_FLIGHT and pod.running is not None and pod.waiting is not None:
            value = pod.running + pod.waiting
        elif name in FIELDS:
            value = getattr(pod, FIELDS[name])
    return _sound(value)


def pod_values(observation: Observation, metric: str) -> list[float]:
    """Return the values of the ready pods that were read."""
    values = (pod_value(pod, metric) for pod in observation.pods)
    return [value for value in values if value is not None]


def external_value(observation: Observation, metric: str) -> float | None:
    """Return a value that belongs to the target as a whole; None = not read.

    Whoever has no other place for it may give it to pods: the largest counts.
    """
    value = observation.external.get(metric)
    if value is None:
        value = max((pod.metrics[metric] for pod in observation.pods if metric in pod.metrics), default=None)
    return _sound(value)


def total(observation: Observation, source: Source) -> float | None:
    """Return the metric of the whole target; None where no pod was read.

    Pods that were not read count as Kubernetes has it: below the target as the target, so that silence shrinks nothing;
    above the target as nothing, but never so that the whole falls below the target.
    """
    if source.kind is SourceKind.EXTERNAL:
        return external_value(observation, source.metric)
    values = pod_values(observation, source.metric)
    if not values:
        return None
    known, missing = sum(values), observation.ready - len(values)
    if missing <= 0:
        return known
    if known < source.target * len(values):
        return known + source.target * missing
    return max(known, source.target * observation.ready)


def replicas_for(load: float, target: float = 1.0) -> int:
    """Return the replicas for a load of which each bears the target, rounded up; at most what Kubernetes can hold."""
    return ceil(min(load / target, MOST_COUNT))


def _sound(value: float | None) -> float | None:
    return value if value is not None and 0 <= value <= MOST_VALUE else None
