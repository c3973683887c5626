"""The load of each model as this worker sees it, for operators and autoscalers.

Lives here: what is added up over pods, and the prediction of the time to the first token.  Not here: metrics
(gateway.observability), when they are reported (gateway.worker).
"""

from collections.abc import Mapping, Sequence
from math import nan
from typing import NamedTuple

from gateway.fleet.fleet import Fleet
from gateway.fleet.pod import Pod, PodState


class ModelLoad(NamedTuple):
    """The load of one base model."""

    tokens: float
    """Prompt tokens and expected output tokens of this worker's requests in flight."""
    ttft_ratio: float
    """Predicted time to the first token of a request that comes now, over the promised one; NaN = nothing is promised,
    or no pod is ready."""


def loads(fleet: Fleet, waiting: Mapping[str, int], now_s: float) -> dict[str, ModelLoad]:
    """Return the load of every base model; `waiting` are requests in the admission queue.  O(pods)."""
    pods: dict[str, list[Pod]] = {}
    for pod in fleet.pods():
        pods.setdefault(pod.endpoint.models[0], []).append(pod)
    found = {}
    for model, some in pods.items():
        tokens = sum(pod.resident_tokens - pod.elsewhere.resident_tokens for pod in some)
        slo = fleet.slo(model)
        ready = [pod for pod in some if pod.state is PodState.READY]
        ttft_s = _ttft_s(ready, waiting.get(model, 0), now_s) if ready else nan
        found[model] = ModelLoad(float(tokens), ttft_s / slo.ttft_s if slo is not None else nan)
    return found


def is_busy(fleet: Fleet) -> bool:
    """Return whether there are requests on any pod: ours, those of siblings, or foreign ones.  O(pods)."""
    return any(pod.in_flight or pod.foreign.requests for pod in fleet.pods())


def _ttft_s(pods: Sequence[Pod], waiting: int, now_s: float) -> float:
    """Return the wait for the prompts that the least loaded pod has, for those that wait, and a usual prompt's prefill.

    A usual prompt is the mean of those in flight; without any the wait alone counts, which then is none.
    """
    busy = [pod.speed.prefill_s(pod.prefill_tokens / pod.in_flight) for pod in pods if pod.in_flight]
    usual_s = sum(busy) / len(busy) if busy else 0.0
    first_s = min(max(0.0, pod.prefill_done_at_s - now_s) for pod in pods)
    return first_s + usual_s * (1 + waiting / len(pods))
