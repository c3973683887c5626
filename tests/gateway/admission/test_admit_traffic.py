"""Traffic as admission and ledger count it for planners: arrivals, refusals, what was sent and what completed."""

import asyncio

import pytest

from gateway.accounting.outcomes import ObservedEnd
from gateway.config.settings import RoutingSettings, Settings
from gateway.extproc.events import Answered, Refused
from gateway.openai.operations import Operation
from gateway.openai.usage import TokenUsage
from ratelimit.limits import User
from tests.support.pods import MODEL, a_description, an_endpoint
from tests.support.shop import AwayLimiter, Shop, refused, routed
from traffic.window import Window, index_of

BUSY = Settings(routing=RoutingSettings(slo_ttft_s=4.0))
ENDPOINTS = [an_endpoint("a", deployment="m-l20"), an_endpoint("b", deployment="m-l20")]


def a_shop(settings: Settings | None = None, *, busy_s: float = 0.0, **fields: object) -> Shop:
    """A shop with one user, whose pods are of one deployment and have prompts for so many seconds."""
    shop = Shop(settings or Settings(), users={"lgy": User("lgy", 2, 10_000)}, **fields)  # type: ignore[arg-type]  # of Shop's
    shop.fleet.replace(a_description(*ENDPOINTS), shop.now_s)
    for pod in shop.fleet.pods():
        pod.speed.known = bool(busy_s)
        pod.prefill_done_at_s = shop.now_s + busy_s
    return shop


def window(shop: Shop) -> Window:
    windows = shop.traffic.take(0.0, shop.fleet.in_flight(), shop.queue.waiting())
    assert [MODEL] == list(windows)
    return windows[MODEL]


async def test_a_request_is_an_arrival_of_its_likely_input_and_is_sent_to_a_deployment():
    shop = a_shop()
    body = {"messages": [{"role": "user", "content": "word " * 400}]}
    routed(await shop.admit(body, user="lgy"))

    plan = shop.planner.plan(shop.command(body))
    seen = window(shop)
    assert {index_of(plan.estimator.likely_prompt_tokens(plan.size)): 1} == seen.arrived_inputs
    assert (1, {"m-l20": 1}, 1, 0, {}) == (seen.arrivals, seen.sent, seen.in_flight, seen.refused, seen.completed)


async def test_what_a_limit_refuses_is_no_arrival():
    shop = a_shop()
    for _ in range(5):
        await shop.admit(user="lgy")

    seen = window(shop)
    assert (2, 3) == (seen.arrivals, seen.refused)


async def test_what_overload_refuses_is_an_arrival():
    shop = a_shop(BUSY, busy_s=60.0)
    for _ in range(3):
        assert (429, "overloaded", None) == refused(await shop.admit(user="lgy"))

    seen = window(shop)
    assert (3, 0, {}) == (seen.arrivals, seen.refused, seen.sent)


async def test_what_waits_is_an_arrival_and_queued_and_one_arrival_whatever_becomes_of_it():
    shop = a_shop(BUSY, busy_s=2.5)
    task = asyncio.create_task(shop.admit(user="lgy"))
    for _ in range(10):
        await asyncio.sleep(0)
    before = window(shop)
    for pod in shop.fleet.pods():
        pod.prefill_done_at_s += 10.0
    shop.now_s += 2.2
    shop.queue.advance(shop.now_s)
    assert (429, "overloaded", None) == refused(await task)

    after = window(shop)
    assert (1, 1, 0, 0) == (before.arrivals, before.queued, after.arrivals, after.queued)


async def test_what_waits_and_may_not_be_sent_is_no_arrival():
    shop = a_shop(BUSY, busy_s=2.5)
    shop.users["lgy"] = User("lgy", 0, 10_000)
    assert 429 == refused(await shop.admit(user="lgy"))[0]

    seen = window(shop)
    assert (0, 1, 0) == (seen.arrivals, seen.refused, seen.queued)


async def test_a_known_model_without_pods_has_arrivals_so_that_it_is_scaled_from_nothing():
    shop = a_shop()
    shop.fleet.replace(a_description(models=[MODEL]), shop.now_s)
    assert 503 == refused(await shop.admit(user="lgy"))[0]

    assert 1 == window(shop).arrivals


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"model": "made-up"}, {}),
        ({}, {"routing_strategy": "no-such"}),
        ({}, {"external_filter": "gpu=none"}),
        ({}, {"dry_run": "true"}),
        ({}, {"user": "stranger"}),
    ],
    ids=["unknown model", "bad strategy", "labels that no pod has", "dry run", "unknown user"],
)
async def test_what_no_replica_would_serve_is_no_arrival(body: dict[str, str], headers: dict[str, str]):
    shop = a_shop()
    outcome = await shop.admit(body, **{"user": "lgy", **headers})
    assert isinstance(outcome, Refused | Answered)

    seen = window(shop)
    assert (0, 0, 0) == (seen.arrivals, seen.refused, seen.in_flight)


async def test_a_dry_run_of_a_model_without_pods_is_refused_and_no_arrival():
    shop = a_shop()
    shop.fleet.replace(a_description(models=[MODEL]), shop.now_s)
    assert 503 == refused(await shop.admit(user="lgy", dry_run="true"))[0]

    assert 0 == window(shop).arrivals


async def test_a_request_that_limits_cannot_be_checked_for_is_no_arrival():
    shop = a_shop(limiter=AwayLimiter())
    outcome = await shop.admit(user="lgy")
    assert isinstance(outcome, Refused)

    seen = window(shop)
    assert (0, 0) == (seen.arrivals, seen.refused)


@pytest.mark.parametrize(
    ("end", "cell"),
    [
        (ObservedEnd(200, TokenUsage(256, 128)), (80, 70)),
        (ObservedEnd(200, TokenUsage(256, 0)), (80, 0)),
        (ObservedEnd(200, TokenUsage(256, 128), client_left=True), (80, 70)),
        (ObservedEnd(500), None),
        (ObservedEnd(400), None),
        (ObservedEnd(0, client_left=True, accepted=False), None),
    ],
    ids=["complete", "without output", "the client left", "the engine failed", "the engine refused", "never sent"],
)
async def test_what_a_replica_worked_on_is_in_the_cell_of_its_usage(end: ObservedEnd, cell: tuple[int, int] | None):
    shop = a_shop()
    routed(await shop.admit(user="lgy"))
    for _ in range(2):
        shop.ledger.ended(shop.last_id, end)

    assert ({} if cell is None else {cell: 1}) == window(shop).completed


async def test_a_request_of_whose_end_nothing_is_known_is_in_the_cell_of_its_estimate():
    shop = a_shop()
    routed(await shop.admit(user="lgy"))
    estimate = shop.ledger._open[shop.last_id].estimate
    shop.ledger.stream_closed(shop.last_id)
    shop.now_s += 60
    shop.ledger.expire()

    cell = index_of(estimate.prompt_tokens), index_of(estimate.output_tokens)
    assert {cell: 1} == window(shop).completed


async def test_what_no_gpu_works_for_is_no_load():
    shop = a_shop()
    routed(await shop.admit({"model": MODEL, "prompt": "hi"}, operation=Operation.TOKENIZE, user="lgy"))
    shop.ledger.ended(shop.last_id, ObservedEnd(200))

    seen = window(shop)
    assert (0, {}, {}) == (seen.arrivals, seen.sent, seen.completed)
