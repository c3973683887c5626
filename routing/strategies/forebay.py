"""forebay, the default: predicted seconds to the first token, plus the harm done to others.

    score = wait + ALPHA x prefill + eviction_cost + decode_slowdown

Lives here: the score.  Not here: what a pod holds (routing.prefix.index), how fast it is (routing.pods.speed), what it
was sent (routing.pods.load).

*wait*: until the prompts sent before are computed and a LoRA adapter is at hand.  *prefill*: of what the pod does not
hold; it counts twice because it takes the pod's time and cache from others too.  *eviction_cost*: the seconds to
compute again what this prompt evicts, times the chance that it is asked for again.  *decode_slowdown*: each request in
flight makes everybody's next tokens later, by a share of the time that one takes.  A hot prefix gets a second home when
waiting costs more than computing it anew: nothing switches.  Before any speed is known: uncached tokens x (in flight +
1).
"""

from collections.abc import Sequence
from math import ceil
from typing import ClassVar

from routing.pods.speed import Speed
from routing.scoring import Scoring
from routing.strategy import Tools
from routing.types import Candidates, PodView, RouteRequest, Scored

ALPHA = 2.0
"""1.5 to 5 behave alike in simulation."""
DECODE_SLOWDOWN = 0.3
"""Of the seconds per output token, for each request in flight.  0.1 to 0.5 behave alike in simulation."""
ADAPTER_S = 0.1
"""To bring an adapter into the batch, and what it pushes out (chosen: tens of megabytes over PCIe, and a slot)."""
ALL = 32
"""Up to so many candidates are all scored."""
HOLDERS = 8
OTHERS = 16
"""Of more, some that hold most of the prompt and a random sample, so that the cost of a pick stops growing.  Chosen: on
64 simulated pods it was as good as scoring all."""

REASON = "wait %d + prefill %d + eviction cost %d + decode slowdown %d ms, %d of %d tokens held"
"""Filled in by `%`, which takes half the time of an f-string's conversions of floats."""


class Forebay(Scoring):
    """Reads nothing but the gateway's own accounting and what it has learned."""

    name: ClassVar[str] = "forebay"
    parts: ClassVar[tuple[str, ...]] = ("wait", "prefill", "eviction_cost", "decode_slowdown")

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._candidates: Candidates = ()
        self._by_slot: dict[int, PodView] = {}  # of these candidates

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Return the score of each candidate, of many only the promising ones'.  O(min(pods, ALL))."""
        pods = candidates if len(candidates) <= ALL else self._promising(request, candidates)
        guess = _usual_speed(pods)
        if guess is None:
            scores = [request.uncached_tokens(pod) * (pod.in_flight + 1) for pod in pods]
            return Scored(pods, scores, fallback="speed-unknown")
        prompt, block_tokens, levels = request.prompt_tokens, request.block_tokens, request.match.levels
        beyond = prompt + request.first_block_missing_tokens
        scores, parts = [], []
        for pod in pods:  # written out: a call for each pod costs as much as what it computes
            speed = pod.speed if pod.speed.known else guess
            uncached = float(prompt)
            cache = pod.cache
            for blocks, holders in levels:
                if holders & cache.bit:
                    uncached = max(1.0, beyond - blocks * block_tokens)
                    break
            wait_s = max(0.0, pod.prefill_done_at_s - now_s)
            if not pod.is_warm(request.model, now_s):
                wait_s += ADAPTER_S
            prefill_s = ALPHA * (speed.fixed_s + speed.token_s * uncached)
            decode_slowdown_s = DECODE_SLOWDOWN * speed.output_s * pod.in_flight
            eviction_cost_s = 0.0
            if block_tokens and (lost := cache.eviction_cost(ceil(uncached / block_tokens), now_s)):
                eviction_cost_s = lost * block_tokens * speed.token_s
            score = wait_s + prefill_s + eviction_cost_s + decode_slowdown_s
            parts.append((wait_s, prefill_s, eviction_cost_s, decode_slowdown_s))
            scores.append(score if now_s >= pod.full_share_at_s else score * pod.slow_start_factor(now_s))
        return Scored(pods, scores, parts)

    def reason(self, request: RouteRequest, scored: Scored, chosen: int) -> str:
        """Return the parts of the score in milliseconds and what the pod holds."""
        held = max(0.0, request.prompt_tokens - request.uncached_tokens(scored.pods[chosen]))
        if not scored.parts:
            return f"{int(held)} of {request.prompt_tokens} tokens held, {scored.pods[chosen].in_flight} in flight"
        parts_ms = (part_s * 1000 for part_s in scored.parts[chosen])
        return REASON % (*parts_ms, held, request.prompt_tokens)

    def _promising(self, request: RouteRequest, candidates: Candidates) -> Sequence[PodView]:
        if self._candidates is not candidates:  # the fleet gives the same tuple until its pods change
            self._candidates = candidates
            self._by_slot = {pod.cache.slot: pod for pod in candidates}
        chosen: dict[int, PodView] = {}
        for _blocks, holders in request.match.levels:
            left = holders
            while left and len(chosen) < HOLDERS:
                slot = (left & -left).bit_length() - 1
                left &= left - 1
                if slot in self._by_slot:
                    chosen[slot] = self._by_slot[slot]
        for pod in self._rng.sample(candidates, OTHERS):
            chosen[pod.cache.slot] = pod
        return tuple(chosen.values())


def _usual_speed(pods: Sequence[PodView]) -> Speed | None:
    """Return what an unknown pod's speed is taken for: that of the slowest known one; None = none is known."""
    slowest: Speed | None = None
    for pod in pods:
        speed = pod.speed
        if speed is not slowest and speed.known and (slowest is None or speed.token_s > slowest.token_s):
            slowest = speed
    return slowest
