"""What every strategy in the table promises (routing.strategy.Strategy)."""

import random

import pytest

from routing.strategy import Finished, Started, Strategy
from routing.table import STRATEGIES, build
from routing.types import Candidates, Decision, RouteRequest, Signal
from tests.support.pods import MODEL, a_pod

REQUEST = RouteRequest(MODEL, user="u", prompt_tokens=100, output_tokens=10)

every_strategy = pytest.mark.parametrize("name", sorted(STRATEGIES))


def strategy(name: str, seed: int = 1, fallbacks: int = 2) -> Strategy:
    return build(name, random.Random(seed), fallbacks)


def pods(count: int) -> Candidates:
    return [a_pod(f"p{i}", in_flight=i * 7 % 5) for i in range(count)]


def named(decision: Decision) -> list[str]:
    return [endpoint.id for endpoint in (decision.pod, *decision.fallbacks)]


@every_strategy
def test_it_goes_by_the_name_in_the_table(name: str) -> None:
    assert strategy(name).name == name
    assert strategy(name).pick(REQUEST, pods(3), 0.0).strategy == name


@every_strategy
def test_it_declares_the_signals_it_reads(name: str) -> None:
    assert strategy(name).needs <= frozenset(Signal)


@every_strategy
@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000])
def test_it_names_only_candidates_each_once_and_as_many_as_asked_for(name: str, count: int) -> None:
    candidates = pods(count)
    decision = strategy(name, fallbacks=2).pick(REQUEST, candidates, 0.0)

    assert len(named(decision)) == min(3, count) == len(set(named(decision)))
    assert set(named(decision)) <= {pod.endpoint.id for pod in candidates}


@every_strategy
def test_it_names_no_fallback_when_none_are_asked_for(name: str) -> None:
    assert strategy(name, fallbacks=0).pick(REQUEST, pods(5), 0.0).fallbacks == ()


@every_strategy
def test_it_is_deterministic_by_seed(name: str) -> None:
    def run() -> list[list[str]]:
        chooser = strategy(name, seed=7)
        return [named(chooser.pick(REQUEST, pods(20), float(step))) for step in range(50)]

    assert run() == run()


@every_strategy
def test_its_reason_is_fit_for_a_header(name: str) -> None:
    reason = strategy(name).pick(REQUEST, pods(5), 0.0).reason

    assert reason
    assert reason.isascii()
    assert reason.isprintable()


@every_strategy
def test_it_changes_neither_candidates_nor_their_counts(name: str) -> None:
    candidates = pods(10)
    strategy(name).pick(REQUEST, candidates, 0.0)

    assert [pod.in_flight for pod in candidates] == [pod.in_flight for pod in pods(10)]


@every_strategy
def test_it_takes_events_about_pods_it_never_picked(name: str) -> None:
    chooser = strategy(name)

    chooser.observe(Started("elsewhere", REQUEST, 0.0))
    chooser.observe(Finished("elsewhere", REQUEST, 1.0, failed=True))

    assert chooser.pick(REQUEST, pods(3), 2.0).pod.id in {"p0", "p1", "p2"}
