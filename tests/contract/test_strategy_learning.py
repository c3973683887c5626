"""Requests that came to nothing teach strategies nothing: refused, failed, given up, or answered by another pod."""

import random
from collections.abc import Callable

import pytest

from gateway.config.settings import RoutingSettings
from gateway.discovery.probing.readings import Readings
from gateway.fleet.fleet import Fleet
from gateway.fleet.ticket import Ticket
from routing.pods.adapters import AdapterUse
from routing.selectors import parse_selector
from routing.strategy import Finished
from routing.table import STRATEGIES
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_description, an_endpoint

NOW_S = 100.0
ADAPTER = "adapter"
PROMPT = tuple(range(64, 6400, 64))
Ending = Callable[[Fleet, Ticket], None]


def send(fleet: Fleet, pod: str, blocks: tuple[int, ...] = PROMPT, model: str = ADAPTER) -> Ticket:
    request = RouteRequest(
        model, "u", 10_000, 500, selector=parse_selector(f"pod={pod}"), blocks=blocks, block_tokens=100.0
    )
    return fleet.route(request, "random", NOW_S)


def ended(fleet: Fleet, ticket: Ticket, pod: str = "", **seen: object) -> None:
    fleet.release(ticket, NOW_S)
    event = Finished(pod or ticket.pod.endpoint.id, ticket.request, NOW_S, failed=False, duration_s=1.0)
    fleet.finish(ticket, event._replace(**seen))  # type: ignore[arg-type]  # a test's names are right or it fails


def a_used_fleet() -> Fleet:
    """Two pods that have answered alike; both hold another prompt and have a request in flight, `a` an adapter too."""
    fleet = Fleet(RoutingSettings(slo_ttft_s=60.0), random.Random(1))  # so that prefill shares are learned too
    pods = [an_endpoint(name, models=(MODEL, ADAPTER), labels={"pod": name}) for name in "ab"]
    fleet.replace(a_description(*pods))
    scores(fleet)  # builds all strategies, so that they learn from the beginning
    for number in range(20):
        for pod in "ab":
            ticket = send(fleet, pod, blocks=(number + 1,), model=MODEL)
            ended(fleet, ticket, input_tokens=10_000 - 400 * number, output_tokens=10 + number, duration_s=2.0)
    for pod in "ab":
        send(fleet, pod, blocks=(7,), model=MODEL)
    fleet.apply_readings("a", Readings(adapters=AdapterUse(frozenset(), {ADAPTER: 1.0}, 1)), NOW_S, NOW_S)
    return fleet


def refused_by_the_gateway(fleet: Fleet, ticket: Ticket) -> None:
    fleet.withdraw(ticket, NOW_S)


def refused_by_the_engine(fleet: Fleet, ticket: Ticket) -> None:
    ended(fleet, ticket, computed=False, answered=False, duration_s=0.001)


def given_up_before_anything_came(fleet: Fleet, ticket: Ticket) -> None:
    ended(fleet, ticket, computed=False, answered=False, duration_s=30.0, input_tokens=10_000, output_tokens=0)


def failed_at_once(fleet: Fleet, ticket: Ticket) -> None:
    ended(fleet, ticket, failed=True, computed=False, answered=False, duration_s=0.001)


ENDINGS = (refused_by_the_gateway, refused_by_the_engine, given_up_before_anything_came, failed_at_once)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_request_that_came_to_nothing_leaves_the_scores_of_each_strategy_as_they_were(ending: Ending) -> None:
    fleet = a_used_fleet()
    before = scores(fleet)

    for _ in range(5):
        for pod in "abb":
            ending(fleet, send(fleet, pod))

    assert scores(fleet) == pytest.approx(before)


def scores(fleet: Fleet) -> dict[str, float]:
    """Each strategy's scores of another request for the adapter, and for the base model."""
    values: dict[str, float] = {}
    for model in (ADAPTER, MODEL):
        request = RouteRequest(model, "u", 10_000, 500, blocks=PROMPT, block_tokens=100.0)
        request = request.with_match(fleet._index.match(PROMPT))
        for strategy in STRATEGIES.keys() - {"random", "power-of-two"}:  # chance decides, and n
            scored = fleet._strategies.get(strategy).score(request, tuple(fleet._pods.values()), NOW_S)
            values |= {f"{strategy} {model} {number}": score for number, score in enumerate(scored.scores)}
    return values


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_request_that_came_to_nothing_leaves_nothing_in_the_accounts_of_its_pod(ending: Ending) -> None:
    fleet = a_used_fleet()
    before = accounts(fleet)

    for pod in "abb":
        ending(fleet, send(fleet, pod))

    assert accounts(fleet) == pytest.approx(before)


def accounts(fleet: Fleet) -> dict[str, float]:
    return {
        f"{pod.endpoint.id} {name}": value
        for pod in fleet.pods()
        for name, value in {
            "wait": pod.prefill_done_at_s,
            "backlog": pod.prefill_backlog_s(NOW_S),
            "share": pod.prefill_share,
            "busy": pod.busy_s(NOW_S),
            "processed": pod.processed_tokens(NOW_S),
            "latency": pod.latency_per_token_s or 0.0,
            "held": pod.cache.held,
            "loaded": pod.is_loaded(ADAPTER),
            "token": pod.speed.token_s,
            "output": pod.speed.output_s,
            "fixed": pod.speed.fixed_s,
        }.items()
    }


def test_a_stream_that_was_cut_teaches_what_was_computed_but_no_speed() -> None:
    fleet = a_used_fleet()
    before = accounts(fleet)
    ended(fleet, send(fleet, "b"), answered=False, duration_s=60.0, input_tokens=10_000, output_tokens=3)
    after = accounts(fleet)

    changed = {name for name, value in after.items() if value != pytest.approx(before[name])}
    assert changed == {"b processed", "b held", "b loaded", "b wait", "b backlog"}


@pytest.mark.parametrize("ending", [refused_by_the_engine, given_up_before_anything_came])
def test_a_trial_that_came_to_nothing_neither_blames_nor_acquits_an_ejected_pod(ending: Ending) -> None:
    fleet = a_used_fleet()
    failed_at_once(fleet, send(fleet, "b"))
    [pod] = [pod for pod in fleet.pods() if pod.endpoint.id == "b"]
    before = (pod.failures, pod.is_ejected(NOW_S + 1.5))

    ending(fleet, send(fleet, "b"))

    assert before == (pod.failures, pod.is_ejected(NOW_S + 1.5))
