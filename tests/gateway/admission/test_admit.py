"""Admission: who, how much, where, and what the client is told."""

import asyncio

import orjson
import pytest

from gateway.admission import admit
from gateway.admission.admit import exchange_ids
from gateway.config.limits import LimitSettings
from gateway.config.settings import RoutingSettings, Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.extproc.commands import Admit, Refuse
from gateway.extproc.events import Refused, Routed
from gateway.openai.errors import BadRequestError, error_headers
from gateway.openai.operations import Operation
from gateway.openai.request import parse_request
from ratelimit.accounts.sender import Sender
from ratelimit.limits import Charge, Rates, Usage, User, Verdict
from ratelimit.memory import MemoryLimiter
from routing.pods.load import Work
from tests.support.pods import MODEL
from tests.support.shop import AwayLimiter, Shop, refused, routed


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


class CountingLimiter(MemoryLimiter):
    """Remembers whose usage was asked for."""

    def __init__(self, users: dict[str, User]) -> None:
        super().__init__(users.get, lambda: 0.0)
        self.asked: list[str] = []

    async def usage(self, user: str) -> Usage | None:
        self.asked.append(user)
        return await super().usage(user)


@pytest.mark.interpreted("a subclass of a limiter")
async def test_a_user_is_looked_up_once_and_a_stranger_each_time():
    users = {"lgy": User("lgy", 100, 10_000)}
    limiter = CountingLimiter(users)
    shop = Shop(users=users, limiter=limiter)
    for _ in range(3):
        routed(await shop.admit(user="lgy"))
        routed(await shop.admit())
    assert ["lgy"] == limiter.asked

    assert [(401, "unknown_user", None)] * 2 == [refused(await shop.admit(user="nobody")) for _ in range(2)]

    assert {"lgy": None} == shop.admission._existing


async def test_the_users_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch):
    users = {f"u{number}": User(f"u{number}", 100, 10_000) for number in range(5)}
    monkeypatch.setattr(admit, "MAX_EXISTING", 3)
    shop = Shop(users=users)
    for user in users:
        routed(await shop.admit(user=user))
    assert ["u2", "u3", "u4"] == list(shop.admission._existing)


NEEDS = "this request needs 1,234 tokens, more than the limit allows at any time"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        (User("lgy", rpm=0), "user: lgy has exceeded RPM: 0"),
        (User("lgy", tpm=0), "user: lgy has exceeded TPM: 0"),
        (User("lgy", concurrency=0), "user: lgy has exceeded CONCURRENCY: 0"),
        (User("lgy", tpm=100), f"user: lgy has exceeded TPM: 100; {NEEDS}"),
        (User("lgy", models={"m": Rates(tpm=99)}), f"user: lgy has exceeded TPM for model m: 99; {NEEDS}"),
    ],
)
async def test_what_no_time_cures_says_so_with_limit_and_size(user: User, message: str):
    body = orjson.dumps({"model": MODEL, "prompt": [7] * 1234})
    command = Admit(parse_request(Operation.COMPLETIONS, "", body), {"user": "lgy"}, None, Sender("lgy"))

    outcome = await Shop(users={"lgy": user}).admission.decide(command)

    assert isinstance(outcome, Refused)
    headers = dict(error_headers(outcome.error))
    assert (message, "false") == (outcome.error.message, headers["x-should-retry"])
    assert not {"retry-after", "retry-after-ms"} & headers.keys()


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


async def test_a_refusal_before_the_limiter_charges_nothing_and_still_shows_the_limits():
    shop = Shop(users={"lgy": User("lgy", 3, 1000)})
    outcome = await shop.admit({"model": "other"}, user="lgy")
    assert isinstance(outcome, Refused)
    assert "3" == outcome.headers["x-ratelimit-remaining-requests"]


async def test_a_malformed_body_is_counted_and_shows_the_limits():
    shop = Shop(users={"lgy": User("lgy", 3, 1000)})
    outcome = await shop.admission.decide(Refuse(BadRequestError("x"), {"user": "lgy"}))
    assert "3" == outcome.headers["x-ratelimit-remaining-requests"]
    assert 1 == shop.sample('forebay_refusals_total{kind="bad_request"}')


@pytest.mark.parametrize(("setting", "status"), [("deny", 401), ("guest", 429), ("allow", None)])
async def test_requests_without_a_user_are_what_the_setting_says(setting: str, status: int | None):
    shop = Shop(Settings(anonymous=setting), users={"guest": User("guest", 0, None)})
    outcome = await shop.admit()
    assert status == (outcome.error.status if isinstance(outcome, Refused) else None)


async def test_a_limiter_that_is_away_and_may_not_be_ignored_is_unavailable():
    assert (503, "limiter_away", None) == refused(await Shop(limiter=AwayLimiter()).admit(user="lgy"))


async def test_with_keys_on_the_holder_is_charged_and_the_engine_sees_neither_key_nor_claim():
    shop = Shop(
        Settings(identity="api_key", anonymous="allow"), users={"lgy": User("lgy", 1)}, keys={"k": Sender("lgy")}
    )

    outcome = routed(await shop.admit(authorization="Bearer k", user="root"))

    assert ("authorization", "x-api-key", "api-key", "user") == outcome.remove_request_headers
    assert (429, "rpm", None) == refused(await shop.admit(authorization="Bearer k"))
    assert (401, "invalid_key", None) == refused(await shop.admit(authorization="Bearer x", user="lgy"))
    routed(await shop.admit(user="lgy"))  # nobody in particular
    shop.away = True
    assert (503, "limiter_away", None) == refused(await shop.admit(authorization="Bearer k"))


async def test_a_malformed_body_shows_the_limits_of_the_holder_and_nothing_to_a_bad_key():
    shop = Shop(Settings(identity="api_key"), users={"lgy": User("lgy", 3)}, keys={"k": Sender("lgy")})
    shown = [
        (await shop.admission.decide(Refuse(BadRequestError("x"), {"authorization": f"Bearer {key}"}))).headers
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


def test_exchange_ids_name_the_worker_by_index_and_by_replica():
    next_id = exchange_ids(3, "0123456789ab")
    assert ["3-0123456789ab-1", "3-0123456789ab-2"] == [next_id(), next_id()]


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
