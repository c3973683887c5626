"""The debug pages of decisions and pods: /debug/decisions with each candidate's score, and /debug/fleet.

Lives here: keeping the latest decisions, and rendering both pages.  Not here: deciding (routing), replaying a decision
(replay).  A kept decision is what the strategy computed anyway; it is rendered only when the page is read.
"""

from collections import deque
from math import inf
from typing import NamedTuple

from gateway.fleet.pod import Pod
from routing.pods.foreign import Foreign
from routing.strategy import Strategy
from routing.types import Decision, RouteRequest, Scored, Signal

MAX_DECISIONS = 256
"""Decisions that are kept (chosen: those of a busy second, about a megabyte with many pods)."""


class Record(NamedTuple):
    """One kept decision."""

    now_s: float
    request: RouteRequest  # with at most one of its blocks, and with its prefix match
    decision: Decision
    parts: tuple[str, ...]  # names of the score's parts


class DecisionLog:
    """The latest MAX_DECISIONS decisions."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=MAX_DECISIONS)

    def add(self, now_s: float, request: RouteRequest, decision: Decision, strategy: Strategy) -> None:
        """Keep a decision, and drop the oldest."""
        self._records.append(Record(now_s, request, decision, strategy.part_names()))

    def page(self) -> list[dict[str, object]]:
        """Return the page for JSON, the newest first.  Each `request` is an input of `forebay explain`."""
        return [_rendered(record) for record in reversed(self._records)]


def candidates(request: RouteRequest, scored: Scored, parts: tuple[str, ...]) -> list[dict[str, object]]:
    """Return each pod's score, its parts, and how many of the prompt's tokens the pod holds; the best pod first."""
    rows: list[dict[str, object]] = []
    for index in sorted(range(len(scored.pods)), key=scored.scores.__getitem__):
        pod = scored.pods[index]
        named = dict(zip(parts, scored.parts[index], strict=True)) if scored.parts else {}
        rows.append(
            {"pod": pod.endpoint.id, "score": scored.scores[index], **named, "held": request.cached_tokens(pod)}
        )
    return rows


def pod_page(pod: Pod, now_s: float) -> dict[str, object]:
    """Return a pod as strategies see it now, for /debug/fleet; `forebay explain --fleet` takes a list of these."""
    speed, cache = pod.speed, pod.cache
    return {
        "pod": pod.endpoint.id,
        "address": pod.endpoint.address,
        "models": pod.endpoint.models,
        "deployment": pod.endpoint.deployment,
        "state": pod.state.value,
        "failures": pod.failures,
        "ejected": pod.is_ejected(now_s),
        "in_flight": pod.in_flight,
        "in_flight_elsewhere": pod.elsewhere.requests,
        "max_in_flight": pod.max_in_flight if pod.max_in_flight < inf else None,
        "prefill_tokens": pod.prefill_tokens,
        "resident_tokens": pod.resident_tokens,
        "wait_s": max(0.0, pod.prefill_done_at_s - now_s),
        "busy_s": pod.busy_s(now_s),
        "processed": pod.processed_tokens(now_s),
        "latency_s": pod.latency_per_token_s,
        "ramp": pod.slow_start_factor(now_s),
        "warm": [model for model in pod.endpoint.models if pod.is_loaded(model)],
        "speed": {"known": speed.known, "fixed_s": speed.fixed_s, "token_s": speed.token_s, "output_s": speed.output_s},
        "cache": {
            "held": cache.held,
            "budget": cache.budget,
            "reuse_chance": cache.index.reuse.chance(now_s - cache.oldest_s(now_s)),
        },
        "foreign": _foreign_page(pod.foreign, now_s),
        "signals": {signal.value: pod.signal(signal, now_s) for signal in Signal},
    }


def _foreign_page(foreign: Foreign, now_s: float) -> dict[str, float]:
    """Return the requests and tokens of others that count now, and what tells how long theirs take."""
    known = foreign.is_fresh(now_s)
    return {
        "running": foreign.running if known else 0.0,
        "waiting": foreign.waiting if known else 0.0,
        "tokens": foreign.tokens if known and foreign.requests else 0.0,
        "mean_tokens": foreign.mean_tokens,
        "interval_s": foreign.interval_s,
    }


def _rendered(record: Record) -> dict[str, object]:
    request, decision, scored = record.request, record.decision, record.decision.scored
    return {
        "at_s": record.now_s,
        "request": {
            "model": request.model,
            "prompt_tokens": request.prompt_tokens,
            "output_tokens": request.output_tokens,
            "block_tokens": request.block_tokens,
            "session": request.session,
            "held": {pod.endpoint.id: request.cached_tokens(pod) for pod in (scored.pods if scored else ())},
        },
        "strategy": decision.strategy,
        "reason": decision.reason,
        "fallback": decision.fallback,
        "chosen": decision.pod.id,
        "fallbacks": [endpoint.id for endpoint in decision.fallbacks],
        "candidates": candidates(request, scored, record.parts) if scored else [],
    }
