"""The plan of a request: its charge and the pods it could go to, or its refusal."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.admission.plan import MAX_SEQUENCES
from gateway.config.settings import Settings
from gateway.discovery.description import ModelPolicy
from gateway.extproc.events import Refused
from gateway.openai.operations import Operation
from ratelimit.accounts.sender import Sender
from ratelimit.limits import User
from tests.support.pods import MODEL, a_description, an_endpoint
from tests.support.shop import CHAT, Shop, refused, routed


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"user": "nobody"}, (401, "unknown_user", None)),
        ({"routing_strategy": "nope"}, (400, "invalid_strategy", None)),
        ({"external_filter": "a in"}, (400, "invalid_filter", "external-filter")),
        ({"external_filter": "gpu=T4"}, (503, "no_ready_pod", None)),
    ],
)
async def test_headers_that_cannot_be_followed_are_refused(
    headers: dict[str, str], expected: tuple[int, str, str | None]
):
    assert expected == refused(await Shop().admit(**headers))


async def test_an_unknown_model_is_not_found_and_names_what_exists():
    outcome = await Shop().admit({"model": "other"})
    assert (404, "unknown_model", "model") == refused(outcome)
    assert isinstance(outcome, Refused)
    assert "m" in outcome.error.message


async def test_a_body_that_names_no_model_follows_the_policy_of_the_only_one():
    shop = Shop()
    shop.fleet.replace(a_description(an_endpoint("a"), **{MODEL: ModelPolicy("random", locked=True)}))

    outcome = routed(await shop.admit({"text": "hi"}, operation=Operation.GENERATE, routing_strategy="least-request"))

    assert "random" == outcome.response_headers["routing-strategy"]


@pytest.mark.parametrize("header", ["model", "x_client_model"])
async def test_a_body_that_names_no_model_goes_to_that_of_the_header(header: str):
    outcome = await Shop().admit({"text": "hi"}, operation=Operation.GENERATE, **{header: "other"})

    assert (404, "unknown_model", "model") == refused(outcome)


async def test_a_request_may_ask_for_a_profile_of_its_model():
    shop = Shop()
    profiles = {"fast": ModelPolicy("throughput")}
    shop.fleet.replace(a_description(an_endpoint("a"), **{MODEL: ModelPolicy("random", profiles=profiles)}))

    for profile, strategy in (("fast", "throughput"), ("absent", "random"), ("", "random")):
        outcome = routed(await shop.admit(config_profile=profile))
        assert strategy == outcome.response_headers["routing-strategy"]


async def test_an_unknown_model_in_picker_mode_is_unavailable():
    assert (503, "no_ready_pod", None) == refused(await Shop().admit({"model": "other"}, frozenset({"10.0.0.1:1"})))


async def test_a_subset_that_holds_nobody_is_unavailable():
    assert (503, "no_ready_pod", None) == refused(await Shop().admit(None, frozenset({"1.1.1.1:1"})))


@pytest.mark.parametrize(("n", "sequences"), [(None, 1), (3, 3), (1_000_000, MAX_SEQUENCES)])
async def test_several_answers_are_several_sequences_for_an_engine(n: int | None, sequences: int):
    shop = Shop()
    ticket_pod = routed(await shop.admit(CHAT | {"n": n})).response_headers["target-pod"]

    assert sequences == next(pod.sequences for pod in shop.fleet.pods() if pod.endpoint.name == ticket_pod)


async def test_names_that_clients_make_up_are_not_remembered():
    shop = Shop()
    for number in range(5):
        await shop.admit({"model": f"made-up-{number}"})
    await shop.admit()
    assert ["m"] == list(shop.planner._estimators)


async def test_prompts_that_only_begin_alike_are_not_taken_for_cached():
    shop, system = Shop(), "You are a helpful assistant. " * 6
    for question in ("x" * 900, "y" * 900):
        body = {"messages": [{"role": "user", "content": system + question}]}
        outcome = routed(await shop.admit(body, routing_strategy="prefix-cache"))
    held, _, prompt, *_ = outcome.response_headers["x-forebay-decision"].split()
    assert 0 < int(held) < int(prompt) / 5


async def test_a_short_prompt_does_not_make_blocks_look_longer_than_they_are():
    shop = Shop()
    for length in (200, 20_000):
        await shop.admit({"messages": [{"role": "user", "content": "x" * length}]})
    long, short = (entry["request"]["block_tokens"] for entry in shop.fleet.decisions.page())
    assert short == pytest.approx(long, rel=0.1)


async def test_prompts_of_different_cache_salts_share_no_blocks():
    shop = Shop()

    async def held(**fields: str) -> bool:
        prompt = {"messages": [{"role": "user", "content": "the same " * 500}]}
        decision = routed(await shop.admit(prompt | fields)).response_headers["x-forebay-decision"]
        return not decision.startswith("0 of")

    assert [False, False, False] == [await held(cache_salt="one"), await held(cache_salt="two"), await held()]
    assert [True, True, True] == [await held(cache_salt="one"), await held(cache_salt="two"), await held()]


OBJECTIVES = {"urgent": 10, "batch": -10}


def a_shop(**settings: Any) -> Shop:
    shop = Shop(Settings(**settings), users={"lgy": User("lgy")}, keys={"k": Sender("lgy")})
    shop.fleet.replace(replace(a_description(an_endpoint("a")), objectives=OBJECTIVES))
    return shop


@pytest.mark.parametrize(("objective", "priority"), [("urgent", 10), ("batch", -10), ("unknown", 0), ("", 0)])
def test_an_objective_gives_a_request_its_priority(objective: str, priority: int):
    shop = a_shop()
    command = shop.command(x_gateway_inference_objective=objective)
    assert (priority, 0) == (
        shop.planner.plan(command).route.priority,
        shop.planner.plan(shop.command()).route.priority,
    )


@pytest.mark.parametrize(("objective", "priority"), [("urgent", 0), ("batch", -10)])
def test_clients_that_are_not_trusted_can_only_step_back(objective: str, priority: int):
    for settings in ({"identity": "api_key"}, {"picker": {"trust_headers": False}}):
        shop = a_shop(**settings)
        command = shop.command(x_gateway_inference_objective=objective)
        assert priority == shop.planner.plan(command).route.priority


def test_a_fairness_id_takes_turns_where_identity_says_nothing_and_has_no_limits():
    shop = a_shop()

    plan = shop.planner.plan(shop.command(x_gateway_inference_fairness_id="lgy"))

    assert ("fairness-id, lgy", None, "") == (plan.route.user, plan.user, plan.charge.user)
    assert not plan.is_limited


@pytest.mark.parametrize(
    ("settings", "headers", "user"),
    [
        ({}, {"user": "lgy", "x_gateway_inference_fairness_id": "f"}, "lgy"),
        ({}, {"x_gateway_inference_fairness_id": ""}, ""),
        ({}, {"x_gateway_inference_fairness_id": "f" * 257}, ""),
        ({"picker": {"trust_headers": False}}, {"x_gateway_inference_fairness_id": "f"}, ""),
        ({"identity": "api_key"}, {"x_gateway_inference_fairness_id": "f"}, ""),
    ],
)
def test_a_fairness_id_is_no_user_elsewhere(settings: dict[str, Any], headers: dict[str, str], user: str):
    shop = a_shop(**settings)
    assert user == shop.planner.plan(shop.command(**headers)).route.user
