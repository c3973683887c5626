"""forebay, the default: the predicted TTFT plus the delay of other requests, in seconds.

    score = wait + PREFILL_WEIGHT x prefill + eviction_cost + decode_slowdown + foreign

Lives here: the score.  Not here: what pods have cached (routing.prefix.index), their speed (routing.pods.speed), the
requests sent to them (routing.pods.load).

*wait*: until earlier prompts are computed and the LoRA adapter is loaded.  *prefill*: of the uncached tokens; it counts
twice, because it also takes the pod's time and cache from other requests.  *eviction_cost*: the seconds to recompute
what this prompt evicts, times the chance that it is reused.  *decode_slowdown*: the request makes the next tokens of
each request in flight later, by a share of the time per token.  *foreign*: the wait for prompts of others, and the
slowdown of those that run.  A hot prefix is computed on a second pod when waiting costs more than that, without a
threshold.  Before any speed is known the score is tokens x (in flight + foreign + 1): those not cached, and
ADAPTER_TOKENS for an adapter that is not loaded.
"""

from collections.abc import Sequence
from math import ceil
from typing import ClassVar

from routing.pods.speed import PRIOR, Speed
from routing.scoring import Scoring
from routing.strategy import Tools
from routing.types import Candidates, PodView, RouteRequest, Scored

PREFILL_WEIGHT = 2.0
"""Weight of the prefill (chosen: 1.5 to 5 behave alike in simulation)."""
DECODE_SLOWDOWN = 0.3
"""Share of the seconds per output token, for each request in flight (chosen: 0.1 to 0.5 behave alike in simulation)."""
ADAPTER_S = 0.1
"""Seconds to load an adapter into the batch (chosen: tens of megabytes over PCIe, and another adapter's slot)."""
ADAPTER_TOKENS = ADAPTER_S / PRIOR[1]
"""The same in prompt tokens, while speeds are unknown."""
MAX_IN_BURST = 1
"""Requests in flight on the best pod up to which a burst counts as one on idle pods (chosen: without a limit four
replicas at 8 times the synthetic trace had a mean TTFT of 297 instead of 278 ms)."""
MAX_SCORED = 32
"""Maximum number of candidates that are all scored."""
MAX_BY_PREFIX = 8
RANDOM_SAMPLE = 16
"""Numbers of candidates that are scored when there are more: those with the longest cached prefixes and random ones, so
that the cost of a pick is bounded (chosen: on 64 simulated pods as good as scoring all)."""

REASON = "wait %d + prefill %d + eviction cost %d + decode slowdown %d ms, %d of %d tokens held"
"""The decision's reason.  Formatting with `%` takes half the time of an f-string that converts floats."""


class Forebay(Scoring):
    """Scores by predicted seconds: the gateway's own accounting, learned speeds, and what others have on the pods."""

    name: ClassVar[str] = "forebay"
    parts: ClassVar[tuple[str, ...]] = ("wait", "prefill", "eviction_cost", "decode_slowdown", "foreign")

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._candidates: Candidates = ()
        self._by_slot: dict[int, PodView] = {}  # the same candidates by slot

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Return the score of each candidate, or of a sample when they are many.  O(min(pods, MAX_SCORED))."""
        pods = candidates if len(candidates) <= MAX_SCORED else self._sample(request, candidates)
        default_speed = _slowest_speed(pods)
        if default_speed is None:
            return _scored_by_turns(request, pods, now_s)
        prompt, block_tokens, matches = request.prompt_tokens, request.block_tokens, request.match.pods_by_length
        prompt_and_missing = prompt + request.first_block_missing_tokens
        scores, parts, foreign_pods = [], [], 0
        for pod in pods:  # `request.uncached_tokens` inlined: a call per pod would cost as much as what it computes
            speed = pod.speed if pod.speed.known else default_speed
            uncached = float(prompt)
            cache = pod.cache
            for blocks, pod_bits in matches:
                if pod_bits & cache.bit:
                    uncached = max(1.0, prompt_and_missing - blocks * block_tokens)
                    break
            wait_s = max(0.0, pod.prefill_done_at_s - now_s)
            if not pod.is_loaded(request.model):
                wait_s += ADAPTER_S
            prefill_s = PREFILL_WEIGHT * (speed.fixed_s + speed.token_s * uncached)
            decode_slowdown_s = DECODE_SLOWDOWN * speed.output_s * pod.in_flight
            eviction_cost_s = 0.0
            if block_tokens and (lost := cache.eviction_cost(ceil(uncached / block_tokens), now_s)):
                eviction_cost_s = lost * block_tokens * speed.token_s
            foreign, foreign_s = pod.foreign, 0.0
            if foreign.requests and foreign.is_fresh(now_s):
                foreign_pods += 1
                slowdown_s = DECODE_SLOWDOWN * speed.output_s * foreign.running
                foreign_s = foreign.wait_s(speed, prompt) + slowdown_s
            score = wait_s + prefill_s + eviction_cost_s + decode_slowdown_s + foreign_s
            parts.append((wait_s, prefill_s, eviction_cost_s, decode_slowdown_s, foreign_s))
            scores.append(score if now_s >= pod.full_share_at_s else score * pod.slow_start_factor(now_s))
        return Scored(pods, scores, parts, foreign=foreign_pods)

    def one_more(self, request: RouteRequest, scored: Scored, best: int) -> float:
        """Return the seconds by which this request delays another one, or its tokens while speeds are unknown.

        Under load, where the best pod has more than MAX_IN_BURST, it is not known: a score tells more than who sent it.
        """
        pod = scored.pods[best]
        if pod.in_flight > MAX_IN_BURST:
            return 0.0
        if not scored.parts:
            return request.uncached_tokens(pod)
        return scored.parts[best][1] / PREFILL_WEIGHT + DECODE_SLOWDOWN * pod.speed.output_s

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:
        """Return the parts of the score in milliseconds and the cached tokens, and where others have requests."""
        cached = max(0.0, request.prompt_tokens - request.uncached_tokens(scored.pods[chosen]))
        if scored.parts:
            *parts_s, _foreign_s = scored.parts[chosen]
            reason = REASON % (*[part_s * 1000 for part_s in parts_s], cached, request.prompt_tokens)
        else:
            reason = f"{int(cached)} of {request.prompt_tokens} tokens held, {scored.pods[chosen].in_flight} in flight"
        if scored.foreign:
            reason += f", foreign load on {scored.foreign} of {len(scored.pods)} pods"
        return reason

    def _sample(self, request: RouteRequest, candidates: Candidates) -> Sequence[PodView]:
        """Return the candidates with the longest cached prefixes and a random sample of all."""
        if self._candidates is not candidates:  # the fleet passes the same tuple until its pods change
            self._candidates = candidates
            self._by_slot = {pod.cache.slot: pod for pod in candidates}
        chosen: dict[int, PodView] = {}
        for _blocks, pod_bits in request.match.pods_by_length:
            remaining = pod_bits
            while remaining and len(chosen) < MAX_BY_PREFIX:
                slot = (remaining & -remaining).bit_length() - 1
                remaining &= remaining - 1
                if slot in self._by_slot:
                    chosen[slot] = self._by_slot[slot]
        for pod in self._rng.sample(candidates, RANDOM_SAMPLE):
            chosen[pod.cache.slot] = pod
        return tuple(chosen.values())


def _scored_by_turns(request: RouteRequest, pods: Sequence[PodView], now_s: float) -> Scored:
    """Return scores without speeds: the tokens to compute, once for each request on the pod and for this one."""
    scores, foreign_pods = [], 0
    for pod in pods:
        others = pod.foreign.requests if pod.foreign.is_fresh(now_s) else 0.0
        foreign_pods += others > 0
        loading = 0.0 if pod.is_loaded(request.model) else ADAPTER_TOKENS
        scores.append((request.uncached_tokens(pod) + loading) * (pod.in_flight + others + 1))
    return Scored(pods, scores, fallback="speed-unknown", foreign=foreign_pods)


def _slowest_speed(pods: Sequence[PodView]) -> Speed | None:
    """Return the slowest known speed, which pods of unknown speed are taken to have; None = no speed is known."""
    slowest: Speed | None = None
    for pod in pods:
        speed = pod.speed
        if speed is not slowest and speed.known and (slowest is None or speed.token_s > slowest.token_s):
            slowest = speed
    return slowest
