"""Strategy SLO: the fewest replicas with which requests that come within a start-up time are served as promised.

Lives here: settings, the choice of replicas, and when to shrink.  Not here: what is learned (learned), what a number of
replicas leads to (outlook).
"""

from dataclasses import dataclass
from math import inf
from typing import Any

import msgspec

from autoscaling.decision import Decision
from autoscaling.observation import Observation
from autoscaling.options import settings
from autoscaling.slo.concurrency import ITL_SHARE
from autoscaling.slo.demand import LEARNING, SLOT_S
from autoscaling.slo.learned import Learned
from autoscaling.slo.outlook import Capacity, Outlook, Pods
from autoscaling.spec import Spec

INTERVAL_S = SLOT_S
"""Seconds between decisions."""
BEYOND_S = 20.0
"""Seconds that are looked at beyond the start of a pod ordered now (chosen: demand is known so late, and a tick)."""
LONGEST_DRAIN_S = 120.0
"""A pod is given up where it is not needed for the time that it will drain either, up to this bound: a pod that drains
for 40 s and is ordered again after 30 s only costs."""
LEARNING_STARTS = 4
"""Start-up times in which the record of demand is held, and replicas fall slowly and only while demand does not rise
(chosen)."""
SLOWLY_S = 40.0
"""Seconds between two replicas that fall slowly."""
BLIND_S = 90.0
"""Seconds, from the first observation, in which nothing is bought unless requests wait: the first answers are those of
engines that fill, and a rise that is over after a minute needs three windows to be seen."""
SETTLE_S = 10.0
"""Nothing shrinks before a start-up time and these seconds have been seen."""
ENOUGH_S = 15.0
"""Fewer replicas must have been enough for so long."""
QUEUE_SHARE = 0.3
"""Share of the promised TTFT that a queue may take to be served: with a half, an engine that is at its end for minutes
missed 99.9 % by some hundredths in trials."""
NOISE = 1.0
"""Standard deviations of demand over a service time that are added to it."""
TOLERANCE = 0.5
"""Excess, in requests times slots, that is taken for none."""


@dataclass(frozen=True, slots=True)
class SloSettings:
    """The promise."""

    slo_ttft_s: float = 3.0
    """Promised mean time to the first token."""
    slo_itl_s: float = inf
    """Promised mean time between tokens."""


class _Past(msgspec.Struct):
    """The decisions of late."""

    at_s: float | None = None
    since_s: float = 0.0
    """Times of the last one, and of the first one since which there was no gap."""
    shrunk_s: float = 0.0
    enough: list[tuple[float, int]] = []
    """Replicas that were enough, with their times, of the last ENOUGH_S."""

    def note(self, now_s: float) -> None:
        """Begin anew where longer than ENOUGH_S nothing was decided."""
        if self.at_s is None or now_s - self.at_s > ENOUGH_S:
            self.since_s = now_s
        self.at_s = now_s


class _State(msgspec.Struct):
    learned: Learned
    past: _Past


class Slo:
    """Decides for one target."""

    memory_s = SLOT_S * LEARNING

    def __init__(self, spec: Spec) -> None:
        self._settings = settings(SloSettings, spec.options)
        self._least = spec.least
        self._most = max([spec.most, *(schedule.most or 0 for schedule in spec.schedules)])
        self._learned = Learned()
        self._past = _Past()

    def decide(self, observation: Observation) -> Decision:
        """See `Strategy.decide`; without arrivals, or without a pod that tells what it computes, replicas are kept."""
        now_s, ordered = observation.now_s, observation.ordered
        self._past.note(now_s)
        self._learned.observe(observation)
        missing = _missing(observation)
        if missing:
            return Decision(ordered, f"{missing}: replicas are kept", now_s + INTERVAL_S, missing)
        keep, buy, reason = self._needed(observation)
        return Decision(self._desired(now_s, ordered, keep, buy), reason, now_s + INTERVAL_S)

    def _needed(self, observation: Observation) -> tuple[int, int, str]:
        """Return the replicas to keep at least and those to have at least, and why."""
        learned, now_s = self._learned, observation.now_s
        capacity, hopeful = self._capacity(hopeful=False), self._capacity(hopeful=True)
        startup_s = learned.startup.expected_s
        ahead_s = startup_s + BEYOND_S
        drain_s = min(LONGEST_DRAIN_S, capacity.service_s) if capacity is not None else 0.0
        demand = learned.demand.ahead(_slots(ahead_s + drain_s))
        held = [max(rate, learned.demand.record) for rate in demand] if self._is_learning(now_s) else demand
        is_idle = not (max(held) > 0 or learned.running + learned.waiting > 0)
        least = max(self._least, 0 if is_idle else 1)
        if capacity is None or hopeful is None:
            kept = max(least, observation.ordered)
            return kept, kept, "what a pod can do is not known yet: replicas are kept"
        pods = Pods(observation.ready, learned.startup.remaining_s(now_s), startup_s)
        keep = self._fewest(Outlook(learned.flight, learned.waiting, pods, held), least, capacity)
        soon = Outlook(learned.flight, learned.waiting, pods, demand[: _slots(ahead_s)])
        buy = self._fewest(soon, least, hopeful) if keep > observation.ordered else keep
        reason = (
            f"{max(held):.2f} requests/s may come within {ahead_s + drain_s:.0f} s, {learned.demand.now:.2f} come "
            f"now; a pod serves {capacity.rate:.2f}, {capacity.most:.0f} at once in {capacity.service_s:.1f} s"
        )
        return keep, buy, reason

    def _capacity(self, *, hopeful: bool) -> Capacity | None:
        learned = self._learned
        curve = learned.curve(hopeful=hopeful)
        if curve is None:
            return None
        tokens = learned.output_tokens
        longest_s = ITL_SHARE * self._settings.slo_itl_s * tokens if tokens > 1 else inf
        return Capacity(curve, learned.concurrency.end(learned.service.most, curve, longest_s))

    def _fewest(self, outlook: Outlook, least: int, capacity: Capacity) -> int:
        noise = self._learned.demand.noise
        demand = [rate + NOISE * noise(rate, capacity.service_s) for rate in outlook.demand]
        longest_queue = QUEUE_SHARE * self._settings.slo_ttft_s * capacity.rate
        noisy = Outlook(outlook.flight, outlook.waiting, outlook.pods, demand)
        return noisy.enough(least, max(least, self._most), capacity, longest_queue, TOLERANCE)

    def _is_learning(self, now_s: float) -> bool:
        began_s = self._learned.began_s
        return began_s is None or now_s - began_s < LEARNING_STARTS * self._learned.startup.expected_s

    def _desired(self, now_s: float, ordered: int, keep: int, buy: int) -> int:
        past = self._past
        past.enough = [each for each in past.enough if each[0] >= now_s - ENOUGH_S] + [(now_s, keep)]
        if buy > ordered:
            return buy if ordered == 0 or self._may_grow(now_s) else ordered
        fewest = max(replicas for _, replicas in past.enough)
        if fewest >= ordered or not self._may_shrink(now_s):
            return ordered
        ready = self._learned.ready
        if self._is_learning(now_s):
            fewest = max(fewest, ready - 1 if now_s - past.shrunk_s >= SLOWLY_S else ready)
        if fewest < ready:
            past.shrunk_s = now_s
        return min(ordered, fewest)

    def _may_grow(self, now_s: float) -> bool:
        learned = self._learned
        return learned.waiting > learned.ready or learned.began_s is None or now_s - learned.began_s >= BLIND_S

    def _may_shrink(self, now_s: float) -> bool:
        learned = self._learned
        if now_s - self._past.since_s < ENOUGH_S or learned.began_s is None:
            return False
        if now_s - learned.began_s < learned.startup.expected_s + SETTLE_S:
            return False
        return not (self._is_learning(now_s) and learned.demand.is_rising)

    def state(self) -> dict[str, Any]:
        """See `Strategy.state`: all that was learned, about 120 kB at most."""
        held: dict[str, Any] = msgspec.to_builtins(_State(self._learned, self._past), str_keys=True)
        return held

    def restore(self, state: dict[str, Any]) -> None:
        """See `Strategy.restore`."""
        try:
            held = msgspec.convert(state, _State, str_keys=True)
        except msgspec.ValidationError as error:
            raise ValueError(f"state: {error}") from None
        self._learned, self._past = held.learned, held.past


def _slots(seconds: float) -> int:
    """Return how many slots cover so many seconds."""
    return int(seconds / SLOT_S) + 1


def _missing(observation: Observation) -> str:
    """Return what is missing for a decision."""
    if observation.arrivals is None:
        return "arrivals are unknown"
    if observation.ready and all(pod.running is None for pod in observation.pods):
        return "no pod tells how many requests it computes"
    return ""
