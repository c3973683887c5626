"""The contract of every strategy in the table (routing.strategy.Strategy)."""

import math
import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from gateway.discovery.probing.readings import Readings
from gateway.fleet.pod import Pod
from routing.plans import Plans
from routing.prefix.index import PrefixIndex
from routing.strategy import Finished, Strategy, Tools
from routing.table import STRATEGIES, build
from routing.types import Decision, RouteRequest, Signal
from tests.support.hints import a_hint
from tests.support.plans import plans
from tests.support.pods import MODEL, a_fleet, an_endpoint, pods_with, refusal
from tests.support.steps import steps
from traffic.hint import Weights

REQUEST = RouteRequest(MODEL, user="u", prompt_tokens=100, output_tokens=10)
BLOCKS = tuple(range(1, 9))

every_strategy = pytest.mark.parametrize("name", sorted(STRATEGIES))
every_state = pytest.mark.parametrize("learned", [False, True], ids=["nothing learned", "learned"])


def strategy(name: str, seed: int = 1, fallbacks: int = 2, followed: Plans | None = None) -> Strategy:
    return build(name, Tools(random.Random(seed), fallbacks, plans=followed))


def informed(name: str) -> Strategy:
    """One that knows a plan, by which pods of no deployment serve everything."""
    everything: Weights = {"": 1.0}
    hint = replace(
        a_hint(), replicas={"": 1}, share=((everything,) * 3,) * 2, in_share=(everything,) * 3, throughput={}
    )
    return strategy(name, followed=plans(hint))


def pods(count: int, *, learned: bool = False) -> list[Pod]:
    """Unequal ones; when `learned`, they have answered requests, report signals and hold prompts."""
    index = PrefixIndex()
    made = pods_with(*(number * 7 % 5 for number in range(count)), index=index)
    for number, pod in enumerate(made if learned else ()):
        pod.learn(None, 1.0 + number % 3, 10, 100.0, 0.0)
        pod.speed.known = True
        pod.prefill_done_at_s = number % 4 * 0.1
        pod.apply_readings(Readings(dict.fromkeys(Signal, number % 6 / 6)), now_s=0.0, fresh_until_s=1e9)
        pod.cache.insert(BLOCKS[: number % 9], 0, 0.0)
    return made


@cache
def shared_pods(count: int, learned: bool) -> list[Pod]:
    """The same for tests that only read them: ten thousand take a while to make."""
    return pods(count, learned=learned)


def asked(candidates: list[Pod]) -> RouteRequest:
    match = candidates[0].cache.index.match(BLOCKS)
    return REQUEST._replace(blocks=BLOCKS, block_tokens=10.0, match=match, session="s")


def named(decision: Decision) -> list[str]:
    return [endpoint.id for endpoint in (decision.pod, *decision.fallbacks)]


@every_strategy
def test_it_goes_by_the_name_in_the_table(name: str) -> None:
    assert strategy(name).name == name
    assert strategy(name).pick(REQUEST, pods(3), 0.0).strategy == name


@every_strategy
def test_it_declares_the_signals_it_reads_and_says_when_they_are_missing(name: str) -> None:
    needs = strategy(name).needs
    decision = strategy(name).pick(REQUEST, pods(3), 0.0)

    assert needs <= frozenset(Signal)
    assert not needs or any(decision.fallback == f"{signal.value}-missing" for signal in needs)
    assert not decision.fallback or decision.reason.endswith(f"fallback={decision.fallback}")


@every_strategy
def test_nothing_stands_in_when_everything_is_known(name: str) -> None:
    candidates = pods(5, learned=True)

    assert informed(name).pick(asked(candidates), candidates, 1.0).fallback == ""


@every_strategy
@pytest.mark.parametrize("age_s", [0.0, 1e9])
@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf, -math.inf])
def test_a_metric_that_is_no_number_or_stale_is_missing(name: str, value: float, age_s: float) -> None:
    candidates = pods(4, learned=True)
    readings = Readings(dict.fromkeys(Signal, value if age_s == 0.0 else 0.5))
    candidates[1].apply_readings(readings, now_s=0.0, fresh_until_s=1.0)
    decision = informed(name).pick(asked(candidates), candidates, 0.5 + age_s)

    assert bool(decision.fallback) is bool(strategy(name).needs)


@every_strategy
@every_state
@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 10_000])
def test_it_names_only_candidates_each_once_and_as_many_as_asked_for(name: str, count: int, learned: bool) -> None:
    candidates = shared_pods(count, learned)
    decision = strategy(name, fallbacks=2).pick(asked(candidates), candidates, 1.0)

    assert len(named(decision)) == min(3, count) == len(set(named(decision)))
    assert set(named(decision)) <= {pod.endpoint.id for pod in candidates}


@every_strategy
def test_it_is_never_asked_when_there_is_no_pod(name: str) -> None:
    fleet = a_fleet(an_endpoint("a", ready=False))

    assert refusal(lambda: fleet.route(REQUEST, name, 0.0)) == "not-ready"


@every_strategy
def test_it_names_no_fallback_when_none_are_asked_for(name: str) -> None:
    assert strategy(name, fallbacks=0).pick(REQUEST, pods(5), 0.0).fallbacks == ()


@every_strategy
@every_state
def test_it_is_deterministic_by_seed(name: str, learned: bool) -> None:
    def run() -> list[list[str]]:
        chooser, candidates = strategy(name, seed=7), pods(100, learned=learned)
        return [named(chooser.pick(asked(candidates), candidates, float(step))) for step in range(50)]

    assert run() == run()


@every_strategy
@every_state
def test_its_reason_is_fit_for_a_header(name: str, learned: bool) -> None:
    candidates = pods(5, learned=learned)
    reason = strategy(name).pick(asked(candidates), candidates, 0.0).reason

    assert reason
    assert reason.isascii()
    assert reason.isprintable()


@every_strategy
def test_its_scores_cover_what_it_looked_at_and_its_parts_are_named(name: str) -> None:
    candidates, chooser = pods(5, learned=True), strategy(name)
    scored = chooser.score(asked(candidates), candidates, 0.0)

    assert len(scored.scores) == len(scored.pods) == 5
    assert {len(parts) for parts in scored.parts} <= {len(chooser.parts)}
    assert not any(math.isnan(score) for score in scored.scores)


@every_strategy
def test_it_changes_neither_candidates_nor_their_counts(name: str) -> None:
    candidates = pods(10)
    strategy(name).pick(REQUEST, candidates, 0.0)

    assert [pod.in_flight for pod in candidates] == [pod.in_flight for pod in pods(10)]


@every_strategy
def test_it_takes_events_about_pods_it_never_picked(name: str) -> None:
    chooser = strategy(name)

    chooser.observe(Finished("elsewhere", REQUEST, 1.0, failed=True))

    assert chooser.pick(REQUEST, pods(3), 2.0).pod.id in {"p0", "p1", "p2"}


CONSTANT = {"forebay", "power-of-two", "random"}
"""Their docstrings say that a pick among very many pods costs no more than one among some; all others are O(pods)."""


class ReadAloud:
    """A pod every read of which takes Python's steps, so that none is hidden in a loop of C's."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pod, name)


@every_strategy
@every_state
def test_a_pick_takes_as_many_steps_as_it_says(name: str, learned: bool) -> None:
    def taken(count: int) -> int:
        chooser, known = strategy(name), shared_pods(count, learned)
        request, candidates = asked(known), tuple(map(ReadAloud, known))
        chooser.pick(request, candidates, 1.0)  # type: ignore[arg-type]  # they read like pods
        return steps(lambda: chooser.pick(request, candidates, 1.0))  # type: ignore[arg-type]  # likewise

    growth = taken(3000) / taken(300)

    assert growth < (1.1 if name in CONSTANT else 10.1)
