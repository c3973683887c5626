"""The answers of the gateway itself: models, usage and dry runs, and by dry runs the tokens that it would reserve."""

import asyncio
from importlib.metadata import version
from typing import Any

import orjson
import pytest

from gateway.accounting.outcomes import ObservedEnd
from gateway.admission.inquiries import is_dry_run
from gateway.config.settings import Settings
from gateway.extproc.commands import Admit, Answer
from gateway.extproc.events import Answered, Refused, Routed
from gateway.openai.errors import BadRequestError
from gateway.openai.operations import Operation
from gateway.openai.request import parse_request
from gateway.openai.usage import TokenUsage
from ratelimit.accounts.sender import Sender
from ratelimit.kinds import TPM
from ratelimit.limits import Rates, User
from tests.support.pods import MODEL
from tests.support.shop import UNIX_S, AwayLimiter, Shop, refused, routed


def answer(outcome: Refused | Routed | Answered) -> dict[str, Any]:
    assert isinstance(outcome, Answered), outcome
    return dict(orjson.loads(outcome.body))


async def test_the_user_is_told_its_usage_and_pays_nothing_for_it():
    shop = Shop(users={"lgy": User("lgy", 3, None)})
    routed(await shop.admit({"max_tokens": 10}, user="lgy"))

    for _ in range(2):
        outcome = await shop.admission.decide(Answer(Operation.USAGE, {"user": "lgy"}))
        record = answer(outcome)
        tokens = record.pop("tokens")
        assert {"name": "lgy", "requests": 1, "rpm": 3, "tpm": None, "window_s": 60} == record
        assert 10 < tokens < 30
        assert isinstance(outcome, Answered)
        assert "2" == outcome.headers["x-ratelimit-remaining-requests"]


@pytest.mark.parametrize(
    ("headers", "limiter", "status"),
    [({}, None, 401), ({"user": "nobody"}, None, 401), ({"user": "lgy"}, AwayLimiter(), 503)],
)
async def test_there_is_no_usage_of_nobody_nor_while_the_limiter_is_away(headers, limiter, status):
    outcome = await Shop(limiter=limiter).admission.decide(Answer(Operation.USAGE, headers))
    assert status == refused(outcome)[0]


async def test_a_dry_run_says_what_would_be_and_changes_nothing():
    shop = Shop(users={"lgy": User("lgy", 2, 300)})
    routed(await shop.admit({"max_tokens": 100}, user="lgy"))

    for _ in range(5):
        fits = await shop.admit({"max_tokens": 100}, user="lgy", dry_run="true")
        over = await shop.admit({"max_tokens": 250}, user="lgy", dry_run="true")
        assert answer(fits)["admitted"]
        assert 100 < answer(fits)["estimated_tokens"] < 120
        assert (False, "tpm", 300) == tuple(answer(over)[name] for name in ("admitted", "kind", "limit"))
        assert isinstance(over, Answered)
        assert "1" == over.headers["x-ratelimit-remaining-requests"]

    shop.now_s += answer(over)["retry_after_s"] - 0.01
    assert not answer(await shop.admit({"max_tokens": 250}, user="lgy", dry_run="true"))["admitted"]
    shop.now_s += 0.01
    assert answer(await shop.admit({"max_tokens": 250}, user="lgy", dry_run="true"))["admitted"]
    assert 1 == len(shop.ledger)
    assert 0 == shop.sample('forebay_refusals_total{kind="tpm"}')


async def test_a_dry_run_of_nobody_in_particular_is_admitted():
    assert answer(await Shop().admit(dry_run="true"))["admitted"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"model": "other"}, {"dry_run": "true"}, 404),
        ({}, {"dry_run": "true", "user": "nobody"}, 401),
        ({}, {"dry_run": "yes"}, 400),
    ],
)
async def test_a_dry_run_of_what_no_limit_would_refuse_is_refused_as_it_would_be(body, headers, status):
    assert status == refused(await Shop().admit(body, **headers))[0]


def test_a_refusal_repeats_no_more_than_the_beginning_of_what_was_said():
    with pytest.raises(BadRequestError) as error:
        is_dry_run({"dry-run": "y" * 50_000})
    assert len(error.value.message) < 500


async def test_no_dry_run_is_a_run():
    routed(await Shop().admit(dry_run="false"))


async def test_what_is_reserved_follows_the_answers_of_the_user():
    shop = Shop(users={"lgy": User("lgy", 1000, 1_000_000)})
    for _ in range(20):
        routed(await shop.admit(user="lgy"))
        shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(9, 1000)))
    for _ in range(20):
        routed(await shop.admit(user="lgy"))
        shop.ledger.ended(
            shop.last_id, ObservedEnd(200, TokenUsage(9, 1), client_left=True)
        )  # a client that left teaches nothing

    assert 1000 < answer(await shop.admit(user="lgy", dry_run="true"))["estimated_tokens"] < 1250
    assert answer(await shop.admit({"max_tokens": 50}, user="lgy", dry_run="true"))["estimated_tokens"] < 70


async def test_what_is_reserved_follows_streams_too_whose_usage_nobody_asked_for():
    shop = Shop(users={"lgy": User("lgy", 1000, 1_000_000)})
    for _ in range(20):
        routed(await shop.admit({"stream": True}, user="lgy"))
        shop.ledger.ended(shop.last_id, ObservedEnd(200, response_bytes=215 * 20 + 320))

    assert 20 < answer(await shop.admit({"stream": True}, user="lgy", dry_run="true"))["estimated_tokens"] < 60


async def test_long_answers_never_shut_a_user_out_for_good():
    shop = Shop(users={"lgy": User("lgy", None, 1000)})
    for _ in range(20):
        routed(await shop.admit(user="lgy"))
        shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(9, 1200)))
        await settled()
        shop.now_s += 61

    assert {"admitted": True, "estimated_tokens": 1000}.items() <= answer(
        await shop.admit(user="lgy", dry_run="true")
    ).items()
    shown = routed(await shop.admit(user="lgy")).response_headers
    assert ("1000", "0") == (shown["x-update-tpm"], shown["x-ratelimit-remaining-tokens"])
    over = await shop.admit(user="lgy")
    assert (429, "tpm", None) == refused(over)
    assert isinstance(over, Refused)
    assert 60 == over.error.retry_after_s


async def test_long_answers_never_shut_a_user_out_of_a_model_either():
    shop = Shop(users={"lgy": User("lgy", None, 1000, models={MODEL: Rates(None, 500)})})
    for _ in range(20):
        routed(await shop.admit(user="lgy"))
        shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(9, 1200)))
        await settled()
        shop.now_s += 61

    foreseen = answer(await shop.admit(user="lgy", dry_run="true"))
    assert (True, 500) == (foreseen["admitted"], foreseen["estimated_tokens"])


GUESSES: list[dict[str, Any]] = [
    {"max_tokens": 5000},
    {"max_completion_tokens": 100_000, "n": 4},
    {"messages": [{"role": "user", "content": "word " * 20_000}]},
    {"messages": [{"role": "user", "content": "\u5b57" * 20_000}], "tools": [{"type": "function"}]},
]


@pytest.mark.parametrize("body", GUESSES)
@pytest.mark.parametrize("limits", [{"tpm": 1000}, {"models": {MODEL: Rates(None, 1000)}}])
async def test_no_guess_refuses_a_request_for_ever(body: dict[str, Any], limits: dict[str, Any]):
    shop = Shop(users={"lgy": User("lgy", **limits)})

    foreseen = answer(await shop.admit(body, user="lgy", dry_run="true"))
    assert (True, 1000) == (foreseen["admitted"], foreseen["estimated_tokens"])
    routed(await shop.admit(body, user="lgy"))
    over = await shop.admit(body, user="lgy")

    assert isinstance(over, Refused)
    assert 59 <= (over.error.retry_after_s or 0) <= 61
    assert over.error.retry_after_s == answer(await shop.admit(body, user="lgy", dry_run="true"))["retry_after_s"]
    shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(1500, 10)))
    await settled()
    if "tpm" in limits:
        usage = await shop.limiter.usage("lgy")
        assert usage is not None
        assert 1510 == usage.quotas[TPM].used


@pytest.mark.parametrize("user", [User("lgy", tpm=0), User("lgy", models={MODEL: Rates(None, 0)})])
async def test_a_limit_of_nothing_is_certain(user: User):
    over = await Shop(users={"lgy": user}).admit(user="lgy")
    assert isinstance(over, Refused)
    assert over.error.retry_after_s is None


@pytest.mark.parametrize(("ids", "waits"), [(1001, False), (1000, True)])
async def test_token_ids_are_certain(ids: int, waits: bool):
    shop = Shop(users={"lgy": User("lgy", tpm=1000)})
    body = {"model": MODEL, "prompt": [7] * ids, "max_tokens": 500}
    command = Admit(parse_request(Operation.COMPLETIONS, "", orjson.dumps(body)), {"user": "lgy"}, None, Sender("lgy"))

    if waits:
        routed(await shop.admission.decide(command))
    over = await shop.admission.decide(command)

    assert isinstance(over, Refused)
    assert waits is (over.error.retry_after_s is not None)


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}


async def test_pictures_teach_nothing_that_shuts_out_text():
    shop = Shop(users={"lgy": User("lgy", tpm=10_000)})
    for tokens in [85_000, 2500, 300] * 50:
        routed(await shop.admit({"messages": [{"role": "user", "content": [PICTURE]}]}))
        shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(tokens, 10)))

    text = {"messages": [{"role": "user", "content": "word " * 1600}], "max_tokens": 100}
    foreseen = answer(await shop.admit(text, user="lgy", dry_run="true"))

    assert foreseen["admitted"]
    assert 2000 < foreseen["estimated_tokens"] < 2200


async def test_what_one_user_taught_does_not_shut_out_another():
    shop = Shop(users={"odd": User("odd"), "lgy": User("lgy", tpm=10_000)})
    for tokens in [9000, 2_000_000_000, 1, 1000] * 100:
        routed(await shop.admit({"messages": [{"role": "user", "content": "odd"}]}, user="odd"))
        shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(tokens, 100_000)))
        await settled()

    long = {"messages": [{"role": "user", "content": "word " * 1600}], "max_tokens": 100}
    assert 6000 > answer(await shop.admit(long, user="lgy", dry_run="true"))["estimated_tokens"]
    routed(await shop.admit(long, user="lgy"))


async def settled() -> None:
    for _ in range(3):  # the settlement is a task of its own, a turn later
        await asyncio.sleep(0)


async def test_models_are_listed_as_openai_does():
    answered = await Shop().admission.decide(Answer(Operation.MODELS, {}))
    assert isinstance(answered, Answered)
    (model,) = orjson.loads(answered.body)["data"]
    assert ("m", "model") == (model["id"], model["object"])


async def test_the_models_list_tells_a_user_the_limits_and_charges_nothing():
    shop = Shop(users={"lgy": User("lgy", 3, None)})
    for _ in range(2):
        answered = await shop.admission.decide(Answer(Operation.MODELS, {"user": "lgy"}))
        assert isinstance(answered, Answered)
        assert "3" == answered.headers["x-ratelimit-remaining-requests"]


async def test_the_models_list_is_denied_to_those_who_may_send_nothing():
    outcome = await Shop(Settings(anonymous="deny")).admission.decide(Answer(Operation.MODELS, {}))
    assert isinstance(outcome, Refused)
    assert 401 == outcome.error.status


@pytest.mark.parametrize("operation", [Operation.HEALTH, Operation.PING, Operation.PING_BY_POST, Operation.VERSION])
async def test_health_is_told_to_anybody_and_costs_nothing(operation):
    shop = Shop(Settings(identity="api_key", anonymous="deny"), limiter=AwayLimiter())

    outcome = await shop.admission.decide(Answer(operation, {"authorization": "Bearer bad"}))

    assert isinstance(outcome, Answered)
    assert 200 == outcome.status
    if operation is Operation.VERSION:
        assert {"version": version("forebay")} == orjson.loads(outcome.body)


async def test_health_is_503_without_a_ready_pod():
    shop = Shop()
    for pod in "abc":
        shop.fleet.set_health(pod, False)

    outcome = await shop.admission.decide(Answer(Operation.HEALTH, {}))

    assert isinstance(outcome, Answered)
    assert 503 == outcome.status


async def test_models_are_listed_with_what_engines_say_of_them():
    shop = Shop()
    card = {"id": MODEL, "object": "model", "created": int(UNIX_S), "owned_by": "forebay"}
    assert [card] == answer(await shop.admission.decide(Answer(Operation.MODELS, {})))["data"]

    shop.fleet.set_model_lengths("a", {MODEL: 8192})
    shop.fleet.set_model_lengths("b", {MODEL: 4096, "other": 1})
    shop.fleet.set_model_lengths("nobody", {MODEL: 1})

    assert [card | {"max_model_len": 4096}] == answer(await shop.admission.decide(Answer(Operation.MODELS, {})))["data"]
    one = await shop.admission.decide(Answer(Operation.MODEL, {":path": f"/v1/models/{MODEL}?x=y"}))
    assert card | {"max_model_len": 4096} == answer(one)


async def test_a_model_that_does_not_exist_is_404_and_a_stranger_is_refused():
    missing = await Shop().admission.decide(Answer(Operation.MODEL, {":path": "/v1/models/org%2Fnone"}))
    assert (404, "unknown_model", "model") == refused(missing)
    assert isinstance(missing, Refused)
    assert "org/none" in missing.error.message
    denied = Shop(Settings(anonymous="deny"))
    assert 401 == refused(await denied.admission.decide(Answer(Operation.MODEL, {":path": "/v1/models/m"})))[0]


async def test_a_key_that_is_limited_to_models_sees_and_uses_no_other():
    keys = {"k": Sender("lgy", models=frozenset({"other"})), "free": Sender("lgy", models=frozenset({MODEL}))}
    shop = Shop(Settings(identity="api_key"), users={"lgy": User("lgy")}, keys=keys)

    async def listed(key: str) -> list[str]:
        outcome = await shop.admission.decide(Answer(Operation.MODELS, {"authorization": f"Bearer {key}"}))
        return [card["id"] for card in answer(outcome)["data"]]

    assert [[], [MODEL]] == [await listed(key) for key in keys]
    one = {"authorization": "Bearer k", ":path": f"/v1/models/{MODEL}"}
    assert (404, "unknown_model", "model") == refused(await shop.admission.decide(Answer(Operation.MODEL, one)))
    for asked in ("false", "true"):
        refusal = refused(await shop.admit(authorization="Bearer k", dry_run=asked))
        assert (403, "model_not_allowed", "model") == refusal
    routed(await shop.admit(authorization="Bearer free"))
    assert 1 == len(shop.ledger)


async def test_a_key_may_use_a_model_by_the_name_that_it_is_asked_by():
    shop = Shop(Settings(identity="api_key"), users={"lgy": User("lgy")})
    command = shop.command()._replace(sender=Sender("lgy", models=frozenset({"alias"})), asked_model="alias")

    routed(await shop.admission.decide(command))
