"""One replay on a fleet that an autoscaler grows and shrinks: every pass takes a second."""

from collections.abc import Mapping
from math import inf
from random import Random
from typing import Any

from autoscaling.decision import Decision
from autoscaling.observation import Observation
from forebay.simulation.autoscale_loop import FIRST_TICK_S, Fixed, Loop, Outcome, Scenario
from simulator.core.gpus import GpuProfile
from simulator.replay.patterns import TokenRange, generate, parse_pattern
from simulator.replay.summary import Slo
from tests.support.model_engine import FIELDS


class Scripted:
    """Wants the last number of a script whose time has come; keeps what it saw."""

    def __init__(self, script: Mapping[float, int], interval_s: float = 5.0) -> None:
        self._script, self._interval_s = script, interval_s
        self.seen: list[Observation] = []

    def decide(self, seen: Observation) -> Decision:
        self.seen.append(seen)
        wanted = [replicas for at_s, replicas in self._script.items() if at_s <= seen.now_s]
        return Decision(wanted[-1] if wanted else seen.ordered, "script", seen.now_s + self._interval_s)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def replayed(strategy: Scripted | Fixed, first: int = 1, pattern: str = "0.5x100") -> Outcome:
    steps, tokens = parse_pattern(pattern), TokenRange(8, 8)
    trace = generate(steps, tokens, TokenRange(6, 6), Random(0), is_even=True)
    until_s = sum(step.seconds for step in steps)
    scenario = Scenario("test", trace, until_s, GpuProfile(**FIELDS), 20.0, Slo(3.0, 1.5), "least-request", 0)
    return Loop(scenario, strategy, first).run(lambda _: None)


def test_ordered_replicas_serve_after_the_start_up_time_and_get_requests_then():
    outcome = replayed(Scripted({10.0: 2}))
    first, second = outcome.replicas

    assert (0.0, 0.0, 11.0, 31.0) == (first.ordered_s, first.served_s, second.ordered_s, second.served_s)
    assert 32.0 == min(call.arrived_s for call in outcome.calls if call.pod == second.endpoint.id)


def test_a_drained_replica_takes_nothing_more_and_ends_what_it_has():
    outcome = replayed(Scripted({40.0: 1}), first=2)
    second = outcome.replicas[1]
    its = [call for call in outcome.calls if call.pod == second.endpoint.id]

    assert 41.0 == second.unwanted_s
    assert second.ended_s == max(call.answer.ended_s or inf for call in its) > 41.0
    assert max(call.arrived_s for call in its) <= 41.0
    assert all(call.served for call in outcome.calls)


def test_an_autoscaler_is_asked_when_it_wants_to_be_until_the_traffic_ends():
    strategy = Scripted({}, interval_s=12.5)
    replayed(strategy)

    assert [FIRST_TICK_S + 12.5 * number for number in range(8)] == [seen.now_s for seen in strategy.seen]


def test_a_hasty_autoscaler_does_not_stop_time():
    strategy = Scripted({}, interval_s=-1.0)
    replayed(strategy, pattern="0.5x4")

    assert 20 < len(strategy.seen) < 40


def test_observations_tell_all_arrivals_and_answers():
    strategy = Scripted({}, interval_s=5.0)
    outcome = replayed(strategy, first=3)
    arrivals = [seen.arrivals for seen in strategy.seen if seen.arrivals is not None]

    assert sum(call.arrived_s <= strategy.seen[-1].now_s for call in outcome.calls) == sum(a.requests for a in arrivals)
    assert {8.0} == {each.input_tokens / each.requests for each in arrivals if each.input_tokens and each.requests}
    assert {3} == {seen.ready for seen in strategy.seen}


def test_a_constant_number_changes_nothing():
    outcome = replayed(Fixed(2), first=2)

    assert ([], 2) == (outcome.decisions, len(outcome.replicas))
    assert Fixed(2).state() == {}
