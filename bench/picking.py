"""CPU of a decision: the default strategy by number of pods and length of prompt, one by plan, and block hashing.

Lives here: the measurement.  Not here: tables (report), memory (memory).
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from statistics import median

from gateway.config.settings import RoutingSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from routing.plans import Plan, Targets
from routing.prefix.blocks import block_hashes
from routing.strategy import Finished
from routing.types import Endpoint, RouteRequest

PODS = (10, 100, 1_000, 10_000)
TOKENS = (1_000, 4_000, 16_000, 128_000)
BYTES_PER_TOKEN = 4
PODS_BY_PLAN, TOKENS_BY_PLAN = 100, 4_000
"""The sample of a decision by plan, on two deployments that share each size."""
DECISIONS = 60
"""Decisions per sample, the first quarter of which is not counted (chosen)."""
PROMPTS = 12
"""Different prompts of a sample."""


@dataclass(frozen=True, slots=True)
class PickSample:
    """Median CPU microseconds of hashing the prompt, of choosing and counting, and of the end of a request."""

    pods: int
    tokens: int
    hash_us: float
    route_us: float
    end_us: float


@dataclass(frozen=True, slots=True)
class PickFigures:
    """All samples, and the speed of hashing, which does not depend on pods."""

    samples: tuple[PickSample, ...]
    hash_share: float
    """Speed of block hashing as a share of that of Python's own hash of the same bytes."""
    by_plan: float
    """Microseconds of choosing and counting by plan, as a multiple of those by the default strategy."""

    def route_us(self, pods: int, tokens: int) -> float:
        """Return the microseconds of choosing and counting in one sample."""
        return next(sample.route_us for sample in self.samples if (sample.pods, sample.tokens) == (pods, tokens))


def measure_picking(progress: Callable[[str], None]) -> PickFigures:
    """Measure; takes some 20 s."""
    samples = []
    for pods in PODS:
        progress(f"picking among {pods} pods")
        samples += [_sample(pods, tokens) for tokens in TOKENS]
    pods, tokens = PODS_BY_PLAN, TOKENS_BY_PLAN
    by_plan = _sample(pods, tokens, "slo").route_us / _sample(pods, tokens).route_us
    return PickFigures(tuple(samples), _hash_share(), by_plan)


def a_fleet(pods: int, shadow: str = "", seed: int | str = 1, outbox: Outbox | None = None) -> Fleet:
    """Return a fleet whose pods all serve the model `m`."""
    fleet = Fleet(RoutingSettings(shadow=shadow), random.Random(seed), outbox=outbox)
    endpoints = (
        Endpoint(f"p{n}", f"p{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}:8000", ("m",), deployment="ab"[n % 2])
        for n in range(pods)
    )
    fleet.replace(FleetDescription({"m": ModelPolicy()}, tuple(endpoints)))
    return fleet


def _sample(pods: int, tokens: int, strategy: str = "forebay") -> PickSample:
    """Measure decisions on prompts that share their first half."""
    fleet, now_s = a_fleet(pods), 0.0
    fleet.plans.put("m", _plan())
    half = tokens * BYTES_PER_TOKEN // 2
    common = os.urandom(half)
    prompts = [common + os.urandom(half) for _ in range(PROMPTS)]
    costs: list[tuple[float, float, float]] = []
    for decision in range(DECISIONS):
        now_s += 0.01
        started = time.thread_time_ns()
        blocks = block_hashes(0, prompts[decision % PROMPTS], "m")
        hashed = time.thread_time_ns()
        request = RouteRequest("m", prompt_tokens=tokens, output_tokens=100, blocks=blocks, block_tokens=128.0)
        ticket = fleet.route(request, strategy, now_s)
        routed = time.thread_time_ns()
        fleet.release(ticket, now_s)
        fleet.finish(ticket, Finished(ticket.decision.pod.id, ticket.request, now_s, False, 0.5, None, tokens, 100))
        ended = time.thread_time_ns()
        costs.append((hashed - started, routed - hashed, ended - routed))
    hash_ns, route_ns, end_ns = (median(part) for part in zip(*costs[DECISIONS // 4 :], strict=True))
    return PickSample(pods, tokens, hash_ns / 1000, route_ns / 1000, end_ns / 1000)


def _plan() -> Plan:
    """Return a plan of twelve by twelve sizes, as the optimizer makes them."""
    ticks = [2.0**power for power in range(4, 16)]
    shares, rates = {"a": 0.6, "b": 0.4}, [[5.0] * len(ticks)] * len(ticks)
    return Plan(
        1,
        expires_s=inf,
        outputs=ticks,
        inputs=ticks,
        replicas={"a": 1, "b": 1},
        share=[[shares] * len(ticks)] * len(ticks),
        in_share=[shares] * len(ticks),
        throughput={"a": rates, "b": rates},
        targets=Targets(ttft_s=2.0),
    )


def _hash_share() -> float:
    data = os.urandom(1 << 20)
    raw = min(_seconds(lambda: hash(bytes(memoryview(data)[1:]))) for _ in range(20))
    return raw / min(_seconds(lambda: block_hashes(0, data, "m")) for _ in range(20))


def _seconds(call: Callable[[], object]) -> float:
    started = time.thread_time()
    call()
    return time.thread_time() - started
