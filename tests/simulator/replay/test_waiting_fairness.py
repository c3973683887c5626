"""Two users on one pod, one of whom sends ten times as much: the gateway's queue serves them alike, FIFO does not."""

import random
from collections.abc import Callable, Sequence

import pytest

from forebay.simulation.replicas import Channel, Gateway, Replicas
from gateway.admission import queue
from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from routing.fair_queue import FairQueue
from routing.types import RouteRequest
from simulator.core.engine import Engine
from simulator.core.gpus import GpuProfile
from simulator.core.speed import LinearSpeed
from simulator.replay.admission import Admission
from simulator.replay.fairness import INPUT_WEIGHT, OUTPUT_WEIGHT
from simulator.replay.replay import MODEL, Call, Replay, VirtualTime
from simulator.replay.traces import TraceRequest
from tests.support.pods import a_description, an_endpoint

PROFILE = GpuProfile(LinearSpeed(a=0.005, b=1e-4, c=0, d=0, e=1e-4), kv_blocks=640, block_tokens=16, pass_tokens=2048)
LONGEST_INPUT = 400
BOUND = 2 * max(INPUT_WEIGHT * LONGEST_INPUT, OUTPUT_WEIGHT * PROFILE.kv_blocks * PROFILE.block_tokens)
"""Theorem 4.4 of Sheng et al., OSDI'24, for users who keep waiting."""
WARM_S, SENT_S, WATCHED_S = 20.0, 40.0, 30.0


class Fifo(FairQueue[queue.QueuedRequest]):
    """First come, first served, whoever it is."""

    def push(self, user: str, item: queue.QueuedRequest, work_s: float, now_s: float, *, is_told: bool = True) -> None:
        super().push("", item, 0.0, now_s, is_told=is_told)

    def remove(self, user: str, item: queue.QueuedRequest) -> None:
        super().remove("", item)


def requests(rng: random.Random, user: str, rate: float, start_s: float, duration_s: float) -> list[TraceRequest]:
    now_s, made = start_s, []
    while (now_s := now_s + rng.expovariate(rate)) < start_s + duration_s:
        made.append(TraceRequest(now_s * 1000, rng.randint(100, LONGEST_INPUT), rng.randint(20, 100), (), user))
    return made


class ByUser(Replicas):
    """Replicas of which the first gets all requests of `little`, and each as many of `much`."""

    def enter(self, request: RouteRequest, strategy: str, now_s: float, tell: Callable[[queue.Outcome], None]) -> None:
        if request.user == "little":
            self._enter(self._gateways[0], request, strategy, now_s, tell)
        else:
            super().enter(request, strategy, now_s, tell)


def replayed(replicas: int = 1) -> Sequence[Call]:
    """A slow start from which speeds are learned, then far more than the pod can do from either user."""
    rng = random.Random(1)
    trace = requests(rng, "little", 2.0, 0.0, WARM_S)
    trace += requests(rng, "much", 200.0, WARM_S, SENT_S) + requests(rng, "little", 20.0, WARM_S, SENT_S)
    settings = RoutingSettings(slo_ttft_s=1e5, longest_wait_s=3_590.0)  # nobody is refused
    time = VirtualTime()
    channel = Channel(time)
    gateways = [a_gateway(f"{number:012x}", settings, time, channel) for number in range(replicas)]
    replay = Replay(
        trace=sorted(trace, key=lambda request: request.timestamp), engines={"pod-0": Engine(PROFILE)},
        router=ByUser(gateways), time=time, strategy="forebay", admission=Admission({}, output_tokens=60),
        slo=gateways[0].fleet.slo(MODEL),
    )  # fmt: skip
    return replay.run()


def a_gateway(name: str, settings: RoutingSettings, time: VirtualTime, channel: Channel) -> Gateway:
    outbox = Outbox(name)
    fleet = Fleet(settings, random.Random(1), outbox=outbox)
    fleet.replace(a_description(an_endpoint("pod-0", models=(MODEL,))))
    return Gateway(fleet, settings, time, outbox, channel)


def service(calls: Sequence[Call], user: str, now_s: float) -> float:
    """Weighted tokens: the prompt with the first token, output as it is made."""
    total = 0.0
    for call in calls:
        first_token_s, ended_s = call.answer.first_token_s, call.answer.ended_s
        if call.request.user == user and first_token_s is not None and ended_s is not None and first_token_s <= now_s:
            done = min(1.0, (now_s - first_token_s) / (ended_s - first_token_s)) if ended_s > first_token_s else 1.0
            total += INPUT_WEIGHT * call.request.input_length + OUTPUT_WEIGHT * call.request.output_length * done
    return total


def largest_difference(calls: Sequence[Call]) -> float:
    """Return the largest difference in the service of the two users, over all intervals in which both wait."""
    moments = [WARM_S + 5.0 + step for step in range(int(WATCHED_S))]
    leads = [service(calls, "much", now_s) - service(calls, "little", now_s) for now_s in moments]
    return max(leads) - min(leads)


pytestmark = pytest.mark.timeout(400)
"""A replay takes ten seconds, and several times that on a busy machine."""


@pytest.mark.interpreted("a subclass of the queue")
def test_users_who_keep_waiting_are_served_alike_and_first_come_first_served_would_not(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    fair = largest_difference(replayed())
    monkeypatch.setattr(queue, "FairQueue", Fifo)
    unfair = largest_difference(replayed())

    record_property("difference", {"ours": fair, "fifo": unfair, "bound": BOUND})
    assert fair <= BOUND
    assert unfair > 2 * BOUND


def test_users_are_served_alike_over_replicas_too(record_property: Callable[[str, object], None]) -> None:
    """One user sends to one replica, the other ten times as much to all four: within twice the bound of one replica."""
    difference = largest_difference(replayed(replicas=4))

    record_property("difference", {"over 4 replicas": difference, "bound": 2 * BOUND})
    assert difference <= 2 * BOUND
