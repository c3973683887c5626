"""Admission: who, how much, where, and what the client is told."""

import asyncio

import orjson
import pytest

from gateway.config.settings import LimitSettings, RoutingSettings, Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.extproc.commands import Answer, Refuse
from gateway.extproc.events import Answered, Refused, Routed
from gateway.openai.errors import BadRequestError, error_headers
from gateway.openai.paths import Operation
from ratelimit.limits import Charge, Rates, User, Verdict
from ratelimit.memory import MemoryLimiter
from routing.pods.load import Work
from tests.support.pods import MODEL
from tests.support.shop import AwayLimiter, Shop, refused, routed


async def test_the_destination_is_the_same_in_header_and_metadata_with_two_fallbacks():
    outcome = routed(await Shop().admit())
    destination = outcome.request_headers["x-gateway-destination-endpoint"]
    assert destination == outcome.metadata["envoy.lb"]["x-gateway-destination-endpoint"]
    assert 3 == len(set(destination.split(",")))
    assert {"a", "b", "c"} == set(outcome.pods.values())


async def test_the_client_is_told_pod_strategy_decision_and_ids():
    outcome = routed(await Shop().admit(x_request_id="r1", x_session_id="s\x01"))
    shown = outcome.response_headers
    assert {"x-request-id": "r1", "request-id": "r1", "routing-strategy": "forebay"}.items() <= shown.items()
    assert shown["target-pod"] in outcome.pods.values()
    assert outcome.pods[shown["target-pod-ip"]] == shown["target-pod"]
    assert "0 in flight" in shown["x-forebay-decision"]
    assert shown["x-session-id"].isprintable()


async def test_the_address_of_the_pod_can_be_kept_from_the_client():
    outcome = routed(await Shop(Settings(hide_pod_address=True)).admit())
    assert "target-pod-ip" not in outcome.response_headers


async def test_a_user_with_limits_sees_them_and_an_anonymous_request_has_none():
    shop = Shop(users={"lgy": User("lgy", 3, 1000)})
    assert "2" == routed(await shop.admit(user="lgy")).response_headers["x-ratelimit-remaining-requests"]
    assert "x-ratelimit-remaining-requests" not in routed(await shop.admit()).response_headers


async def test_the_fourth_of_three_is_refused_with_a_true_retry_after():
    shop = Shop(users={"lgy": User("lgy", 3, 10_000)})
    for _ in range(3):
        routed(await shop.admit(user="lgy"))

    outcome = await shop.admit(user="lgy")

    assert isinstance(outcome, Refused)
    assert "user: lgy has exceeded RPM: 3" == outcome.error.message
    assert outcome.error.retry_after_s is not None
    shop.now_s += outcome.error.retry_after_s - 0.05
    assert (429, "rpm", None) == refused(await shop.admit(user="lgy"))
    shop.now_s += 0.05
    routed(await shop.admit(user="lgy"))


@pytest.mark.parametrize(
    ("user", "kind", "header", "message"),
    [
        (User("lgy", 9, models={"m": Rates(rpm=1)}), "model_rpm", "x-error-rpm-exceeded",
         "user: lgy has exceeded RPM for model m: 1"),
        (User("lgy", 9, models={"m": Rates(tpm=300)}), "model_tpm", "x-error-tpm-exceeded",
         "user: lgy has exceeded TPM for model m: 300"),
        (User("lgy", 9, concurrency=1), "concurrency", "x-error-concurrency-exceeded",
         "user: lgy has exceeded CONCURRENCY: 1"),
    ],
)  # fmt: skip
async def test_each_further_limit_is_refused_in_its_own_words(user: User, kind: str, header: str, message: str):
    shop = Shop(users={"lgy": user})
    routed(await shop.admit(user="lgy"))

    outcome = await shop.admit(user="lgy")

    assert (429, kind, None) == refused(outcome)
    assert isinstance(outcome, Refused)
    assert message == outcome.error.message
    headers = dict(error_headers(outcome.error))
    assert "true" == headers[header] and int(headers["retry-after"]) >= 1


async def test_a_model_with_a_limit_per_second_refuses_everybody_in_the_name_of_the_model():
    shop = Shop(users={"lgy": User("lgy", 9)})
    shop.fleet.replace(FleetDescription({MODEL: ModelPolicy(rps=2)}, tuple(pod.endpoint for pod in shop.fleet.pods())))
    routed(await shop.admit(user="lgy"))
    routed(await shop.admit())

    outcomes = [await shop.admit(), await shop.admit(user="lgy")]

    for outcome in outcomes:
        assert (429, "rps", None) == refused(outcome)
        assert isinstance(outcome, Refused)
        assert "model: m has exceeded RPS: 2" == outcome.error.message
        assert ("x-error-rps-exceeded", "true") in error_headers(outcome.error)
    assert [False, True] == ["x-update-rpm" in outcome.headers for outcome in outcomes]


async def test_a_place_is_free_as_soon_as_the_stream_closes():
    shop = Shop(users={"lgy": User("lgy", concurrency=1)})
    routed(await shop.admit(user="lgy"))
    assert (429, "concurrency", None) == refused(await shop.admit(user="lgy"))

    shop.ledger.stream_closed(shop.last_id)

    routed(await shop.admit(user="lgy"))


@pytest.mark.interpreted("a method is replaced")
async def test_the_pick_is_made_while_the_limiter_is_asked_and_taken_back_when_it_refuses():
    counted = []

    class Watching(MemoryLimiter):
        async def reserve(self, charge: Charge) -> Verdict:
            await asyncio.sleep(0)
            counted.append(shop.fleet.in_flight()[MODEL])
            return await super().reserve(charge)

    shop = Shop(limiter=Watching(lambda name: User(name, 1), lambda: 1000.0))

    routed(await shop.admit(user="lgy"))
    assert (429, "rpm", None) == refused(await shop.admit(user="lgy"))

    assert ([1, 2], 1) == (counted, shop.fleet.in_flight()[MODEL])


async def test_tokens_are_reserved_for_prompt_and_output_and_refused_together():
    shop = Shop(Settings(limits=LimitSettings(output_tokens=256)), users={"lgy": User("lgy", None, 310)})
    first = routed(await shop.admit(user="lgy"))
    assert 256 < int(first.response_headers["x-update-tpm"]) < 290
    assert (429, "tpm", None) == refused(await shop.admit(user="lgy"))
    assert isinstance(await shop.admit({"max_tokens": 10}, user="lgy"), Routed)


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


async def test_an_unknown_model_in_picker_mode_is_unavailable():
    assert (503, "no_ready_pod", None) == refused(await Shop().admit({"model": "other"}, frozenset({"10.0.0.1:1"})))


async def test_a_subset_that_holds_nobody_is_unavailable():
    assert (503, "no_ready_pod", None) == refused(await Shop().admit(None, frozenset({"1.1.1.1:1"})))


async def test_a_refusal_before_the_limiter_charges_nothing_and_still_shows_the_limits():
    shop = Shop(users={"lgy": User("lgy", 3, 1000)})
    outcome = await shop.admit({"model": "other"}, user="lgy")
    assert isinstance(outcome, Refused)
    assert "3" == outcome.headers["x-ratelimit-remaining-requests"]


async def test_a_malformed_body_is_counted_and_shows_the_limits():
    shop = Shop(users={"lgy": User("lgy", 3, 1000)})
    outcome = await shop.pipeline.refuse(Refuse(BadRequestError("x"), {"user": "lgy"}))
    assert "3" == outcome.headers["x-ratelimit-remaining-requests"]
    assert 1 == shop.sample('forebay_refusals_total{kind="bad_request"}')


@pytest.mark.parametrize(("setting", "status"), [("deny", 401), ("guest", 429), ("allow", None)])
async def test_requests_without_a_user_are_what_the_setting_says(setting: str, status: int | None):
    shop = Shop(Settings(anonymous=setting), users={"guest": User("guest", 0, None)})
    outcome = await shop.admit()
    assert status == (outcome.error.status if isinstance(outcome, Refused) else None)


async def test_a_limiter_that_is_away_and_may_not_be_ignored_is_unavailable():
    assert (503, "limiter_away", None) == refused(await Shop(limiter=AwayLimiter()).admit(user="lgy"))


async def test_models_are_listed_as_openai_does():
    answered = await Shop().pipeline.answer(Answer(Operation.MODELS, {}))
    assert isinstance(answered, Answered)
    (model,) = orjson.loads(answered.body)["data"]
    assert ("m", "model") == (model["id"], model["object"])


async def test_the_models_list_tells_a_user_the_limits_and_charges_nothing():
    shop = Shop(users={"lgy": User("lgy", 3, None)})
    for _ in range(2):
        answered = await shop.pipeline.answer(Answer(Operation.MODELS, {"user": "lgy"}))
        assert isinstance(answered, Answered)
        assert "3" == answered.headers["x-ratelimit-remaining-requests"]


async def test_the_models_list_is_denied_to_those_who_may_send_nothing():
    outcome = await Shop(Settings(anonymous="deny")).pipeline.answer(Answer(Operation.MODELS, {}))
    assert isinstance(outcome, Refused)
    assert 401 == outcome.error.status


async def test_with_keys_on_the_holder_is_charged_and_the_engine_sees_neither_key_nor_claim():
    shop = Shop(Settings(identity="api_key"), users={"lgy": User("lgy", 1)}, keys={"k": "lgy"})

    outcome = routed(await shop.admit(authorization="Bearer k", user="root"))

    assert ("authorization", "user") == outcome.withheld
    assert (429, "rpm", None) == refused(await shop.admit(authorization="Bearer k"))
    assert (401, "invalid_key", None) == refused(await shop.admit(authorization="Bearer x", user="lgy"))
    routed(await shop.admit(user="lgy"))  # nobody in particular
    shop.away = True
    assert (503, "limiter_away", None) == refused(await shop.admit(authorization="Bearer k"))


async def test_a_malformed_body_shows_the_limits_of_the_holder_and_nothing_to_a_bad_key():
    shop = Shop(Settings(identity="api_key"), users={"lgy": User("lgy", 3)}, keys={"k": "lgy"})
    shown = [
        (await shop.pipeline.refuse(Refuse(BadRequestError("x"), {"authorization": f"Bearer {key}"}))).headers
        for key in ("k", "x")
    ]
    assert ["3", None] == [headers.get("x-ratelimit-remaining-requests") for headers in shown]


async def test_a_choice_among_pods_that_all_fail_their_checks_is_counted_as_a_fallback():
    shop = Shop()
    shop.fleet._health_fail_open = True
    for pod in ("a", "b", "c"):
        shop.fleet.set_health(pod, healthy=False)
    routed(await shop.admit())
    assert 1 == shop.sample('forebay_fallbacks_total{reason="none-healthy",strategy="forebay"}')


async def test_exchange_ids_begin_where_the_worker_was_told():
    shop = Shop(first_id=0xABC)
    await shop.admit()
    assert "0-abc" == shop.last_id


async def test_names_that_clients_make_up_are_not_remembered():
    shop = Shop()
    for number in range(5):
        await shop.admit({"model": f"made-up-{number}"})
    await shop.admit()
    assert ["m"] == list(shop.pipeline._estimators)


async def test_what_no_pod_can_answer_in_time_is_refused_until_one_can_and_charges_nothing():
    shop = Shop(
        Settings(routing=RoutingSettings(slo_ttft_s=1.0, longest_wait_s=0)), users={"lgy": User("lgy", 3, 10_000)}
    )
    for pod in shop.fleet.pods():
        pod.speed.known = True
        pod.start(Work(0, 50_000, 0, None), shop.now_s)

    outcome = await shop.admit(user="lgy")

    assert (429, "overloaded", None) == refused(outcome)
    assert isinstance(outcome, Refused)
    assert "3" == outcome.headers["x-ratelimit-remaining-requests"]
    shop.now_s += outcome.error.retry_after_s or 0.0
    routed(await shop.admit(user="lgy"))


async def test_a_limiter_that_refuses_at_once_leaves_nothing_counted():
    shop = Shop(users={"lgy": User("lgy", 0, 1000)})

    assert (429, "rpm", None) == refused(await shop.admit(user="lgy"))

    assert [0, 0, 0] == [pod.in_flight for pod in shop.fleet.pods()]
    assert [0, 0, 0] == [pod.cache.held for pod in shop.fleet.pods()]


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
