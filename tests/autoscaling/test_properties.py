"""Properties that every strategy has, for any specification and series: bounds, missing values, load, restarts."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaling.autoscaler import Autoscaler, autoscaler
from autoscaling.observation import Arrivals, Latency, Observation, PodReading
from autoscaling.spec import Spec
from autoscaling.spec_reading import read
from tests.support.observations import seen
from tests.support.pod_autoscalers import a_pod_autoscaler

EXAMPLES = settings(max_examples=30, deadline=None)
STRATEGIES = st.sampled_from(["KPA", "APA", "HPA"])
DELAYS = st.sampled_from(["0s", "20s", "5m"])
VALUES = st.one_of(st.none(), st.floats(0, 1e6), st.sampled_from([0.0, 9.0, 10.0, 11.0]))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    least = draw(st.integers(0, 5))
    annotations = {"autoscaling.aibrix.ai/scale-down-cooldown-window": draw(DELAYS)}
    if draw(st.booleans()):
        annotations["autoscaling.aibrix.ai/max-scale-up-rate"] = draw(st.sampled_from(["1.5", "3"]))
    most = draw(st.integers(max(1, least), 12))
    return read(a_pod_autoscaler(draw(STRATEGIES), least=least, most=most, annotations=annotations))


@st.composite
def series(draw: st.DrawFn, values: st.SearchStrategy[float | None] = VALUES) -> list[Observation]:
    now_s, observations = 0.0, []
    for _ in range(draw(st.integers(1, 15))):
        now_s += draw(st.sampled_from([0.25, 0.5, 2, 10, 15, 400]))
        ready, starting = draw(st.integers(0, 8)), draw(st.one_of(st.none(), st.integers(0, 4)))
        pods = draw(st.lists(values, min_size=ready, max_size=ready))
        observations.append(seen(now_s, ready, *pods, starting=starting, wakes=draw(st.booleans())))
    return observations


AMOUNTS = st.one_of(st.none(), st.integers(0, 16))
SHARES = st.one_of(st.none(), st.floats(0, 1))


@st.composite
def served(draw: st.DrawFn) -> list[Observation]:
    """Return observations of pods that serve, of which not everything is told."""
    now_s, observations = 0.0, []
    for passed_s in draw(st.lists(st.sampled_from([0.0, 1.0, 5.0, 5.0, 30.0, 1000.0]), min_size=1, max_size=40)):
        now_s += passed_s
        names = [f"p{number}" for number in range(draw(st.integers(0, 5)))]
        pods = tuple(PodReading(name, draw(AMOUNTS), draw(AMOUNTS), draw(SHARES)) for name in names)
        arrivals = Arrivals(draw(st.integers(0, 60)), passed_s, output_tokens=draw(AMOUNTS))
        latency = Latency(draw(SHARES), draw(st.integers(0, 9)), draw(SHARES), draw(st.integers(0, 99)))
        told = draw(st.sampled_from([None, arrivals, arrivals]))
        ready, starting = len(pods) + draw(st.integers(0, 1)), draw(st.one_of(st.none(), st.integers(0, 4)))
        wakes = draw(st.booleans())
        seen_now = Observation(now_s, ready, starting, pods=pods, arrivals=told, latency=latency, wakes=wakes)
        observations.append(seen_now)
    return observations


@EXAMPLES
@given(specs(), series())
def test_decisions_are_within_bounds_and_say_why(spec: Spec, observations: list[Observation]):
    scaler = autoscaler(spec)
    for observation in observations:
        decision = scaler.decide(observation)

        assert max(spec.least, 0) <= decision.desired <= spec.most
        assert decision.reason and decision.next_s > observation.now_s


@EXAMPLES
@given(specs(), st.integers(0, 8), st.integers(0, 4))
def test_without_any_value_nothing_shrinks_below_what_there_is(spec: Spec, ready: int, starting: int):
    scaler = autoscaler(spec)
    for now_s in range(0, 1200, 60):
        decision = scaler.decide(seen(now_s, ready, starting=starting))

        assert decision.desired == max(spec.least, min(spec.most, ready + starting))


@EXAMPLES
@given(specs(), st.lists(st.floats(0, 100), min_size=2, max_size=8), st.data())
def test_a_pod_that_was_not_read_never_shrinks_more_than_an_idle_one(
    spec: Spec, values: list[float], data: st.DataObject
):
    silent = data.draw(st.integers(1, len(values) - 1))
    zeros, nones = values[silent:] + [0.0] * silent, values[silent:] + [None] * silent

    read_as_idle = autoscaler(spec).decide(seen(0, len(values), *zeros)).desired
    not_read = autoscaler(spec).decide(seen(0, len(values), *nones)).desired

    assert not_read >= read_as_idle


@EXAMPLES
@given(specs(), series(st.floats(0, 1e4)), st.floats(1, 10))
def test_more_load_never_has_fewer_replicas(spec: Spec, observations: list[Observation], factor: float):
    less, more = autoscaler(spec), autoscaler(spec)
    for observation in observations:
        pods = [pod.metrics["running"] * factor for pod in observation.pods]
        heavier = seen(
            observation.now_s, observation.ready, *pods, starting=observation.starting, wakes=observation.wakes
        )

        assert more.decide(heavier).desired >= less.decide(observation).desired


@EXAMPLES
@given(specs(), series(), st.integers(0, 14))
def test_a_restart_changes_no_decision(spec: Spec, observations: list[Observation], at: int):
    decide_alike(spec, observations, at)


@EXAMPLES
@given(st.integers(0, 2), served(), st.integers(0, 39))
def test_a_restart_changes_no_decision_of_strategy_slo(least: int, observations: list[Observation], at: int):
    promise = {"autoscaling.forebay.io/slo-ttft": "3s", "autoscaling.forebay.io/slo-itl": "100ms"}
    decide_alike(read(a_pod_autoscaler("SLO", least=least, most=8, annotations=promise)), observations, at)


def decide_alike(spec: Spec, observations: list[Observation], at: int) -> None:
    """Assert that a restart before the observation of this index changes nothing."""
    whole, restarted = autoscaler(spec), autoscaler(spec)
    for index, observation in enumerate(observations):
        if index == at:
            restarted = moved(restarted, spec)

        assert whole.decide(observation) == restarted.decide(observation)


def moved(scaler: Autoscaler, spec: Spec) -> Autoscaler:
    """Return another one with the state, through JSON as a ConfigMap has it."""
    other = autoscaler(spec, is_cold=True)
    held: dict[str, Any] = json.loads(json.dumps(scaler.state()))
    other.restore(held)
    return other if held else autoscaler(spec)
