"""Decides which pods are open, that is, can start a prompt in time for the SLO, and when the others will be.

Lives here: the rule.  Not here: a pod's backlog and speed (routing.pods), the order of waiting requests (fair_queue).

Both halves of the SLO bound what a pod is sent.  TTFT: prompts that were sent wait for each other.  ITL: prefill may
take only a share of the pod's time (`PodView.prefill_share`), and what was sent beyond that share is its backlog
(`PodView.prefill_backlog_s`).  What others have on a pod (`PodView.foreign`) counts for the wait, the batch and the
KV cache, and never keeps a pod from a single request of ours: an engine's gauges may be wrong, and it may be that only
a request puts them right.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple, TypeVar

from routing.turns import Turn
from routing.types import NoCandidateError, NoCandidateReason, PodView, RouteRequest, Slo

MAX_BACKLOG_S = 1.0
"""Maximum prefill backlog of an open pod, in seconds, the prompt itself included (chosen: in simulation nothing waits
in the gateway at 4 times the synthetic trace; half and twice as much served fewer in time at 8 times)."""
MAX_PREFILL_WAIT_S = 1.5
"""Maximum seconds that a prompt may wait on an open pod for earlier prompts (chosen with MAX_BACKLOG_S)."""
MAX_BACKLOG_SHARE = 0.5
"""Maximum prefill backlog of an open pod as a share of the TTFT SLO, for SLOs under 2 s (chosen)."""
MAX_TTFT_SHARE = 0.75
"""Maximum wait for earlier prompts and own prefill together, as a share of the TTFT SLO (chosen)."""
FULL_RETRY_S = 0.1
"""Seconds until a pod with a full KV cache or batch is checked again, unless a request leaves it before (chosen)."""
MIN_WAIT_S = 0.001
"""Shorter waits, in seconds, count as none: a timer would be no more exact."""

MARGIN = 0.9
"""Share of the promised time to the first token that a prediction may use up (chosen: with 0.95 a fifth of the requests
that wait in a lasting flood miss the promise, with 0.9 a twentieth)."""

Pod = TypeVar("Pod", bound=PodView)


class WaitEstimate(NamedTuple):
    """The predicted wait of a request that no pod can take now."""

    opens_s: float  # seconds until the first pod is open, if nothing else is sent
    ttft_s: float  # seconds from then to its first token: an open pod may have earlier prompts to compute
    prefill_s: float  # seconds of prefill of the request, on the pod where it is least
    prefill_rate: float  # seconds of prefill that all pods together compute in a second


def wait_until_open_s(pod: PodView, request: RouteRequest, slo: Slo, now_s: float, before: float = 0) -> float:
    """Return in how many seconds the pod is open for the request; 0 = now.

    A pod is open when it has no backlog, or when the prompt fits into the backlog that is allowed, would not wait long,
    and fits into the KV cache: so short prompts are taken when long ones no longer are.  An idle pod takes every
    prompt, and so does one whose speed is not known.  `before`: so many requests like it may be on their way there.
    """
    uncached = request.uncached_tokens(pod)
    prefill_s = pod.speed.prefill_s(uncached)
    before_s = before * prefill_s if before else 0.0
    backlog_s = pod.prefill_backlog_s(now_s) + before_s
    excess_s = backlog_s + prefill_s - min(MAX_BACKLOG_S, MAX_BACKLOG_SHARE * slo.ttft_s) if backlog_s else 0.0
    max_wait_s = min(MAX_PREFILL_WAIT_S, max(0.0, MAX_TTFT_SHARE * slo.ttft_s - prefill_s))
    late_s = _prefill_wait_s(pod, request, now_s) + before_s - max_wait_s
    full_s = FULL_RETRY_S if _is_full(pod, uncached + request.output_tokens, now_s, before) else 0.0
    wait_s = max(min(excess_s, backlog_s) / pod.prefill_share, late_s, full_s)
    return wait_s if wait_s > MIN_WAIT_S else 0.0


def needs_another_look(pod: PodView, request: RouteRequest, slo: Slo, now_s: float, turn: Turn | None = None) -> bool:
    """Return whether the pod that a strategy chose may not take the request without a look at the other pods."""
    return bool(_wait_s(pod, request, slo, now_s, turn)) or is_best_effort((pod,), request, slo)


def open_pods(
    pods: Sequence[Pod], request: RouteRequest, slo: Slo, now_s: float, turn: Turn | None = None
) -> Sequence[Pod]:
    """Return the pods that are open now.

    A best-effort prompt fills a pod for seconds, so it is only sent while another pod stays open for requests with a
    promise.  When none is open, those are that have no request of ours and that what others have there closes.
    `turn`: requests wait at other replicas too, so a pod must have room for those that stand before this one.
    Raises NoCandidateError: `overloaded`, with the seconds until enough pods are open.
    """
    waits_s = [_wait_s(pod, request, slo, now_s, turn) for pod in pods]
    ready = [pod for pod, wait_s in zip(pods, waits_s, strict=True) if not wait_s]
    ready = ready or [pod for pod in pods if _is_closed_by_others(pod, request, slo, now_s)]
    needed = 2 if len(pods) > 1 and is_best_effort(pods, request, slo) else 1
    if len(ready) < needed:
        raise NoCandidateError(NoCandidateReason.OVERLOADED, sorted(waits_s)[needed - 1])
    return ready


def is_best_effort(pods: Sequence[PodView], request: RouteRequest, slo: Slo) -> bool:
    """Return whether the prompt is so long that none of these pods could keep the promise, even if it were idle."""
    return min(pod.speed.prefill_s(request.uncached_tokens(pod)) for pod in pods) > MARGIN * slo.ttft_s


def estimate_wait(pods: Sequence[PodView], request: RouteRequest, slo: Slo, now_s: float) -> WaitEstimate:
    """Return the predicted wait of a request."""
    prefills_s = [pod.speed.prefill_s(request.uncached_tokens(pod)) for pod in pods]
    opens_s, ttft_s = min(
        (
            opens_s := wait_until_open_s(pod, request, slo, now_s),
            max(0.0, _prefill_wait_s(pod, request, now_s) - opens_s) + prefill_s,
        )
        for pod, prefill_s in zip(pods, prefills_s, strict=True)
    )
    return WaitEstimate(opens_s, ttft_s, min(prefills_s), sum(pod.prefill_share for pod in pods))


def _prefill_wait_s(pod: PodView, request: RouteRequest, now_s: float) -> float:
    """Return the seconds until the prompts on the pod are computed, ours and others'."""
    foreign = pod.foreign
    others_s = foreign.wait_s(pod.speed, request.prompt_tokens) if foreign.is_waiting(now_s) else 0.0
    return max(0.0, pod.prefill_done_at_s - now_s) + others_s


def _is_closed_by_others(pod: PodView, request: RouteRequest, slo: Slo, now_s: float) -> bool:
    return not pod.in_flight and pod.foreign.requests > 0 and wait_until_open_s(pod, request, slo, now_s) > 0


def _wait_s(pod: PodView, request: RouteRequest, slo: Slo, now_s: float, turn: Turn | None) -> float:
    """Return in how many seconds the pod is open for the request in its turn; 0 = now."""
    wait_s = wait_until_open_s(pod, request, slo, now_s)
    if wait_s or turn is None:
        return wait_s
    before, lasts_s = turn.place(pod, now_s)
    if not before:
        return 0.0
    return min(lasts_s, wait_until_open_s(pod, request, slo, now_s, before) if before < inf else inf)


def _is_full(pod: PodView, tokens: float, now_s: float, before: float) -> bool:
    """Whether the pod's batch or KV cache is full for a request of so many tokens, behind so many others like it.

    The batch is full when one more request would put tokens further apart than the ITL SLO.  The cache is full when the
    prompts in flight, their expected outputs, what others have in it, and this request exceed it.
    """
    batch = pod.in_flight + before
    sent = pod.prefill_tokens + pod.output_tokens + before * tokens
    foreign = pod.foreign
    if foreign.requests and foreign.is_fresh(now_s):
        batch += foreign.running
        sent += foreign.tokens
    if 0 < batch > pod.max_in_flight - 1:
        return True
    capacity = pod.cache_tokens
    return capacity is not None and sent > 0 and sent + tokens > capacity
