"""Agreement with the originals: Knative's autoscaler and Kubernetes' replica calculator get the same random series.

`make test-originals` builds them (module/) and names the program in FOREBAY_ORIGINALS.  The deliberate differences are
in docs/autoscaling.md; the series have none of that: no seconds without a value, and no pods that start in KPA.
"""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from autoscaling.observation import Observation
from autoscaling.readings import total
from autoscaling.spec import Source
from autoscaling.spec_reading import read
from autoscaling.strategies.hpa import Hpa, HpaSettings, milli, replicas_of_pods, replicas_of_whole
from autoscaling.strategies.kpa import POD_CAPACITY, Kpa, excess_burst_capacity
from tests.support.observations import seen
from tests.support.pod_autoscalers import a_pod_autoscaler

SEEDS = range(20)
SERIES = 250
"""Series of each kind for each seed, 5,000 together."""
LIMITS = 1_000
"""Series of recommendations, whose decisions are limited."""
STEPS = 20
"""Steps of a series of HPA."""

pytestmark = pytest.mark.skipif(
    "FOREBAY_ORIGINALS" not in os.environ, reason="make test-originals builds the originals, with Go"
)


def originals(cases: list[dict[str, Any]]) -> list[dict[str, list[int | None]]]:
    """Return the decisions of the originals for each case."""
    lines = "\n".join(json.dumps(case) for case in cases)
    run = subprocess.run([os.environ["FOREBAY_ORIGINALS"]], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def a_kpa_case(rng: random.Random) -> dict[str, Any]:
    stable_s = rng.choice([6, 10, 30, 31, 60, 60, 60, 90])
    return {
        "target": rng.choice([0.5, 1.0, 7.0, 10.0, rng.uniform(0.1, 100)]),
        "stable_s": stable_s,
        "panic_s": rng.choice([max(1, stable_s // 10), min(10, stable_s), stable_s]),
        "panic_threshold": rng.choice([1.1, 2.0, 2.0, 10.0]),
        "up_rate": rng.choice([1.1, 2.0, 2.0, 10.0, 1000.0]),
        "down_rate": rng.choice([1.1, 2.0, 2.0, 3.0]),
        "delay_s": rng.choice([0, 0, 5, 20, 60, 1800]),
        "activation": rng.choice([1, 1, 2, 5]),
        "burst": rng.choice([-1, 0, 2, 211.5]),
        "total": POD_CAPACITY,
    }


def a_kpa(case: dict[str, Any]) -> Kpa:
    options = {
        "stable-window": f"{case['stable_s']}s",
        "panic-window": f"{case['panic_s']}s",
        "panic-threshold": str(case["panic_threshold"]),
        "max-scale-up-rate": str(case["up_rate"]),
        "max-scale-down-rate": str(case["down_rate"]),
        "scale-down-delay": f"{case['delay_s']}s",
        "activation-scale": str(case["activation"]),
    }
    annotations = {f"kpa.autoscaling.aibrix.ai/{name}": value for name, value in options.items()}
    return Kpa(read(a_pod_autoscaler(target=repr(case["target"]), annotations=annotations, most=2**31 - 1)))


def loads(rng: random.Random, target: float, seconds: int) -> Iterator[float]:
    """Yield a load per second: idle, level, jumps and noise."""
    level = 0.0
    for _ in range(seconds):
        if rng.random() < 0.05:
            level = rng.choice([0.0, rng.uniform(0, 3), rng.uniform(0, 30), float(rng.randrange(1, 12))]) * target
        yield max(0.0, level * rng.choice([1.0, 1.0, rng.uniform(0.5, 1.5)]))


def readings(rng: random.Random, second: int, ready: int, load: float) -> Observation:
    """Return an observation of pods that share a load; some were not read, but one was."""
    values: list[float | None] = [load / ready] * ready
    if rng.random() < 0.3:
        values = [value if rng.random() < 0.6 else None for value in values[1:]] + [load / ready]
    return seen(second, ready, *values)


def kpa_series(rng: random.Random) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return a case and what ours decides; the ready pods follow the decisions late, and sometimes by chance."""
    case, seconds = a_kpa_case(rng), rng.randrange(30, 150)
    kpa, ready, decided = a_kpa(case), rng.choice([1, 1, 2, 5, 20]), []
    sums, pods, answers = [], [], {"desired": decided, "excess": []}
    source: Source = read(a_pod_autoscaler(target=repr(case["target"]))).sources[0]
    for second, load in enumerate(loads(rng, case["target"], seconds)):
        observation = readings(rng, second, ready, load)
        sums.append(total(observation, source))
        if second % 2:
            kpa.observe(observation)
            continue
        pods.append(ready)
        decided.append(kpa.decide(observation).desired)
        if rng.random() < 0.3:
            ready = max(1, min(200, rng.choice([decided[-1], decided[-1], ready, ready - 1, rng.randrange(1, 20)])))
    return {"kpa": case | {"load": sums, "ready": pods}}, answers


@pytest.mark.parametrize("seed", SEEDS)
def test_kpa_decides_as_knative_does(seed: int):
    rng = random.Random(seed)
    series = [kpa_series(rng) for _ in range(SERIES)]

    theirs = originals([case for case, _ in series])

    assert SERIES == len(theirs)
    assert [] == [
        (case, ours["desired"], their["desired"])
        for (case, ours), their in zip(series, theirs, strict=True)
        if ours["desired"] != their["desired"]
    ]


def test_the_excess_burst_capacity_is_knatives():
    rng = random.Random(4)
    cases = [
        {"kpa": a_kpa_case(rng) | {"load": [rng.uniform(0, 500)], "ready": [rng.randrange(1, 9)]}} for _ in range(500)
    ]

    theirs = [answer["excess"][0] for answer in originals(cases)]

    rounded = [round(each["kpa"]["load"][0], 6) for each in cases]
    assert theirs == [
        excess_burst_capacity(each["kpa"]["ready"][0], each["kpa"]["burst"], load)
        for each, load in zip(cases, rounded, strict=True)
    ]


def an_hpa_step(rng: random.Random, target: int) -> dict[str, Any]:
    def amount() -> int:
        return rng.choice([0, target, int(target * rng.uniform(0.85, 1.15)), int(target * rng.uniform(0, 4))])

    step = {"current": rng.randrange(1, 20)}
    if rng.random() < 0.2:
        return step | {"whole": amount() * rng.randrange(1, 20)}
    level, count = amount(), rng.choice([0, 1, 1, 2, 3, 8])
    return step | {
        "values": [rng.choice([level, amount()]) for _ in range(count)],
        "missing": rng.choice([0, 0, 0, 1, 2, 6]),
        "pending": rng.choice([0, 0, 0, 1, 2, 6]),
        "leaving": rng.choice([0, 0, 1]),
        "current": rng.choice([count or 1, step["current"]]),
    }


def hpa_decision(step: dict[str, Any], target: int, chosen: HpaSettings) -> int | None:
    current = step["current"]
    if "whole" in step:
        return replicas_of_whole(milli(step["whole"] / 1000), current=current, target=target, chosen=chosen)
    values = [milli(value / 1000) for value in step["values"]]
    if not values:
        return None
    return replicas_of_pods(
        values, missing=step["missing"], unready=step["pending"], current=current, target=target, chosen=chosen
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_hpa_recommends_as_kubernetes_does(seed: int):
    rng = random.Random(seed)
    cases = []
    for _ in range(SERIES):
        target = rng.choice([500, 1000, 50_000, rng.randrange(1, 100_000)])
        up, down = rng.choice([(0.1, 0.1), (0.1, 0.2), (0.0, 0.0), (0.3, 0.05)])
        steps = [an_hpa_step(rng, target) for _ in range(STEPS)]
        cases.append({"hpa": {"target": target, "up": up, "down": down, "steps": steps}})

    theirs = [answer["desired"] for answer in originals(cases)]

    ours = [
        [hpa_decision(step, hpa["target"], HpaSettings(hpa["up"], hpa["down"])) for step in hpa["steps"]]
        for hpa in (case["hpa"] for case in cases)
    ]
    assert [] == [
        (case["hpa"]["target"], step, mine, their)
        for case, mines, answers in zip(cases, ours, theirs, strict=True)
        for step, mine, their in zip(case["hpa"]["steps"], mines, answers, strict=True)
        if mine != their
    ]


def a_limits_case(rng: random.Random) -> tuple[dict[str, Any], Hpa]:
    """Return a case of Kubernetes' controller and an autoscaler of ours with the same limits."""
    least, most = rng.choice([(1, 10), (2, 100), (1, 2**31 - 1)])
    up_rate, down_rate = rng.choice([None, 1.5, 2.0, 10.0]), rng.choice([None, 1.5, 2.0, 4.0])
    up_delay, down_delay = rng.choice([None, 0, 30, 60]), rng.choice([None, 0, 60, 600])
    options = {
        "max-scale-up-rate": up_rate,
        "max-scale-down-rate": down_rate,
        "scale-up-cooldown-window": None if up_delay is None else f"{up_delay}s",
        "scale-down-cooldown-window": None if down_delay is None else f"{down_delay}s",
    }
    named = {name: str(value) for name, value in options.items() if value is not None and rng.random() < 0.7}
    behavior: dict[str, Any] = {"scaleUp": {"stabilizationWindowSeconds": 0}, "scaleDown": {}}
    for name, side, percent in (
        ("max-scale-up-rate", "scaleUp", int(((up_rate or 1) - 1) * 100)),
        ("max-scale-down-rate", "scaleDown", int((1 - 1 / (down_rate or 1)) * 100)),
    ):
        if name in named:
            behavior[side]["policies"] = [{"type": "Percent", "value": percent, "periodSeconds": 60}]
    for name, side, delay in (
        ("scale-up-cooldown-window", "scaleUp", up_delay),
        ("scale-down-cooldown-window", "scaleDown", down_delay),
    ):
        if name in named:
            behavior[side]["stabilizationWindowSeconds"] = delay
    source = {"metricSourceType": "external", "targetMetric": "m", "targetValue": "1"}
    annotations = {f"autoscaling.aibrix.ai/{name}": value for name, value in named.items()}
    spec = a_pod_autoscaler("HPA", least=least, most=most, annotations=annotations, metricsSources=[source])
    return {"least": least, "most": most} | ({"behavior": behavior} if named else {}), Hpa(read(spec))


def test_hpa_delays_and_limits_as_kubernetes_does():
    rng = random.Random(3)
    cases, ours = [], []
    for _ in range(LIMITS):
        case, hpa = a_limits_case(rng)
        now_s, current, steps, decided = 0, rng.randrange(1, 12), [], []
        for _ in range(STEPS):
            after_s = rng.choice([15, 15, 15, 30, 45, 300])
            now_s += after_s
            asked = rng.choice([current, rng.randrange(0, 60), max(0, current + rng.randrange(-3, 4))])
            wish = replicas_of_whole(asked * 1000, current=current, target=1000, chosen=HpaSettings())
            steps.append({"after_s": after_s, "current": current, "wish": wish})
            decided.append(hpa.decide(Observation(now_s, current, external={"m": asked})).desired)
            current = max(1, rng.choice([decided[-1], decided[-1], current, current + 1]))
        cases.append({"limits": case | {"steps": steps}})
        ours.append(decided)

    theirs = [answer["desired"] for answer in originals(cases)]

    assert [] == [triple for triple in zip(cases, ours, theirs, strict=True) if triple[1] != triple[2]]


def test_a_gap_is_a_deliberate_difference():
    """Knative's windows count seconds without a value as zero; ours leave them out."""
    case = {
        "target": 10, "stable_s": 60, "panic_s": 6, "panic_threshold": 9, "up_rate": 1000, "down_rate": 2, "delay_s": 0,
        "activation": 1, "burst": 0, "total": 100, "load": [40, 0, 40, 0, 40], "ready": [1, 1, 1],
    }  # fmt: skip
    kpa = a_kpa(case)

    ours = [kpa.decide(seen(now_s, 1, 40)).desired for now_s in (0, 2, 4)]

    assert ([4, 4, 4], [4, 3, 3]) == (ours, originals([{"kpa": case}])[0]["desired"])
