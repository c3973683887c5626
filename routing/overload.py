"""Which pods can start a prompt soon enough, and when the others can.

Lives here: the rule.  Not here: what pods owe and how fast they are (load, speed), who waits (fair_queue).

A pod has promised two things.  The first token in time: prompts that were sent wait for each other.  Tokens not too far
apart: prompts may only take a share of the pod's time, and what was sent beyond it is owed
(`PodView.prefill_backlog_s`).
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from routing.types import NoCandidateError, NoCandidateReason, PodView, RouteRequest, Slo

OWED_S = 1.0
LATE_S = 1.5
"""The seconds of prefill that a pod may owe, and that a prompt may wait in it for others (chosen: in simulation nothing
waits in the gateway at 4 times the synthetic trace; half and twice as much served fewer in time at 8 times)."""
OWED, LATE = 0.5, 0.75
"""At most so much of the time to the first token that is promised, the prompt's own prefill included."""
FULL_S = 0.1
"""When a pod whose memory is full is looked at again, unless a request leaves it before (chosen)."""
AT_ONCE_S = 0.001
"""Nobody waits for less."""

Pod = TypeVar("Pod", bound=PodView)


class Outlook(NamedTuple):
    """Of a request that no pod can take now."""

    opens_s: float  # until the first could, if nobody else came
    after_s: float  # from then to its first token: an open pod may have others' prompts to compute
    work_s: float  # of prefill, on the pod that has least to do
    rate: float  # seconds of prefill that all of them do in a second


def wait_until_open_s(pod: PodView, request: RouteRequest, slo: Slo, now_s: float) -> float:
    """Return in how many seconds the pod can take the request; 0 = it is open.

    It is open when it owes nothing, or when the prompt fits into what it may owe, does not wait long and has room in
    its memory: short work is taken when long work no longer is.  An idle pod takes everything, and so does one whose
    speed is not known.
    """
    prefill_backlog_s = pod.prefill_backlog_s(now_s)
    work_s = pod.speed.prefill_s(request.uncached_tokens(pod))
    owed_s = prefill_backlog_s + work_s - min(OWED_S, OWED * slo.ttft_s) if prefill_backlog_s else 0.0
    late_s = pod.prefill_done_at_s - now_s - min(LATE_S, max(0.0, LATE * slo.ttft_s - work_s))
    full_s = FULL_S if _is_full(pod, request) else 0.0
    wait_s = max(min(owed_s, prefill_backlog_s) / pod.prefill_share, late_s, full_s)
    return wait_s if wait_s > AT_ONCE_S else 0.0


def open_pods(pods: Sequence[Pod], request: RouteRequest, slo: Slo, now_s: float) -> Sequence[Pod]:
    """Return those that can take it now.  Raises NoCandidateError: `overloaded`, with the time when the first can."""
    waits_s = [wait_until_open_s(pod, request, slo, now_s) for pod in pods]
    ready = [pod for pod, wait_s in zip(pods, waits_s, strict=True) if not wait_s]
    if not ready:
        raise NoCandidateError(NoCandidateReason.OVERLOADED, min(waits_s))
    return ready


def outlook(pods: Sequence[PodView], request: RouteRequest, slo: Slo, now_s: float) -> Outlook:
    """Return what a request has to expect that must wait."""
    works_s = [pod.speed.prefill_s(request.uncached_tokens(pod)) for pod in pods]
    opens_s, after_s = min(
        (
            opens_s := wait_until_open_s(pod, request, slo, now_s),
            max(0.0, pod.prefill_done_at_s - now_s - opens_s) + work_s,
        )
        for pod, work_s in zip(pods, works_s, strict=True)
    )
    return Outlook(opens_s, after_s, min(works_s), sum(pod.prefill_share for pod in pods))


def _is_full(pod: PodView, request: RouteRequest) -> bool:
    """Whether what is in flight and its answers, as long as expected, leave no room for this one and its own.

    So it is when one request more would put tokens further apart than promised.
    """
    if 0 < pod.in_flight > pod.max_in_flight - 1:
        return True
    room, sent = pod.cache_tokens, pod.prefill_tokens + pod.output_tokens
    return room is not None and sent > 0 and sent + request.uncached_tokens(pod) + request.output_tokens > room
