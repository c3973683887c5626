"""Hard limits on their whole way: what is granted, the body that says it, its renewals and its end."""

import asyncio

import orjson
import pytest

from gateway.accounting import ledger
from gateway.accounting.outcomes import ObservedEnd
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.extproc.events import Refused
from gateway.openai.operations import Operation
from gateway.openai.usage import TokenUsage
from ratelimit.kinds import TPM, USER_BUDGETS
from ratelimit.limits import Reservation, User
from ratelimit.prices import Prices
from tests.support.pods import MODEL, an_endpoint
from tests.support.shop import CHAT, Shop, refused, routed

BOUND = len("user\nhi") + 32
HARD = User("lgy", None, 400, reserve="maximum")


async def used(shop: Shop) -> int:
    for _ in range(3):  # settlements are tasks of their own, a turn later
        await asyncio.sleep(0)
    assert shop.limiter is not None
    usage = await shop.limiter.usage("lgy")
    assert usage is not None
    return usage.quotas[TPM].used


async def admitted(shop: Shop, **body: object) -> tuple[int | None, str | None]:
    """The maximum that the body of an admitted request has now, if it was changed, and the header."""
    command = shop.command(body, user="lgy")
    outcome = routed(await shop.admission.decide(command._replace(body=orjson.dumps({**CHAT, **body}))))
    shop.last_id = outcome.exchange_id
    changed = None if outcome.body is None else orjson.loads(outcome.body)
    return changed and changed["max_tokens"], outcome.response_headers.get("x-forebay-max-tokens")


@pytest.mark.parametrize(
    "shop",
    [
        Shop(users={"lgy": HARD}),
        Shop(Settings.model_validate({"limits": {"reserve": "maximum"}}), users={"lgy": User("lgy", None, 400)}),
    ],
    ids=["record", "setting"],
)
async def test_what_is_left_is_granted_set_in_the_body_and_told(shop: Shop):
    assert (400 - BOUND, str(400 - BOUND)) == await admitted(shop)
    assert 400 == await used(shop)
    assert (429, "tpm", None) == refused(await shop.admit(user="lgy"))

    shop.ledger.ended(shop.last_id, ObservedEnd(200, TokenUsage(7, 9)))
    assert 16 == await used(shop)
    assert (384 - BOUND, str(384 - BOUND)) == await admitted(shop, max_tokens=1000)


async def test_who_asks_for_less_than_is_left_is_sent_unchanged_and_the_rest_is_for_others():
    shop = Shop(users={"lgy": HARD})

    assert (None, None) == await admitted(shop, max_tokens=100)
    assert BOUND + 100 == await used(shop)


async def test_what_is_left_is_divided_among_the_answers():
    shop = Shop(users={"lgy": HARD})
    each = (400 - BOUND) // 3

    assert (each, str(each)) == await admitted(shop, n=3)


async def test_the_record_of_a_user_may_say_that_guesses_are_reserved_all_the_same():
    settings = Settings.model_validate({"limits": {"reserve": "maximum"}})
    shop = Shop(settings, users={"lgy": User("lgy", None, 400, reserve="expected")})

    assert (None, None) == await admitted(shop)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (User("lgy", None, 20, reserve="maximum"), f"TPM: 20; this request needs {BOUND + 1} tokens"),
        (
            User("lgy", budgets={"cost_day": 5000}, reserve="maximum"),
            f"COST_DAY BUDGET: 5e-06; this request needs {(BOUND * 2 + 8) / 1e6} cost",
        ),
    ],
)
async def test_a_prompt_that_no_hard_limit_lets_through_says_by_how_much_it_is_counted(user: User, said: str):
    shop = Shop(users={"lgy": user})
    shop.fleet.replace(FleetDescription({MODEL: ModelPolicy(prices=Prices(2, 8))}, (an_endpoint("a"),)))

    outcome = await shop.admit(user="lgy")

    assert isinstance(outcome, Refused)
    expected = f"user: lgy has exceeded {said}, more than the limit allows at any time"
    assert (expected, None) == (outcome.error.message, outcome.error.retry_after_s)


async def test_a_body_that_cannot_be_changed_is_refused_and_costs_nothing():
    shop = Shop(users={"lgy": HARD})
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_\\u0074okens":5000}'
    command = shop.command({"max_tokens": 5000}, user="lgy")._replace(body=body)

    refusal = refused(await shop.admission.decide(command))

    assert (400, "bad_request", "max_tokens") == refusal
    assert (0, 0, 0) == (await used(shop), len(shop.ledger), shop.fleet.in_flight()[MODEL])


@pytest.mark.interpreted("a method is replaced")
async def test_hard_reservations_of_running_requests_are_renewed_until_they_end(monkeypatch):
    shop = Shop(users={"lgy": HARD})
    renewed: list[str] = []

    async def renew(request: str, _reservation: Reservation) -> None:
        renewed.append(request)

    assert shop.limiter is not None
    monkeypatch.setattr(shop.limiter, "renew", renew)
    monkeypatch.setattr(ledger, "RENEW_S", 0.001)
    await admitted(shop, max_tokens=10)
    ended = shop.last_id
    await admitted(shop, max_tokens=10)
    shop.ledger.ended(ended, ObservedEnd(200, TokenUsage(7, 9)))

    renewing = asyncio.create_task(shop.ledger.renew())
    async with asyncio.timeout(10):
        while len(renewed) < 3:  # noqa: ASYNC110  # what the ledger does has no event
            await asyncio.sleep(0.001)
    renewing.cancel()

    assert {shop.last_id} == set(renewed)


@pytest.mark.interpreted("a method is replaced")
async def test_reservations_are_renewed_together_so_that_many_do_not_take_longer_than_their_window(monkeypatch):
    shop = Shop(users={"lgy": HARD})
    on_their_way: set[str] = set()
    together = asyncio.Event()

    async def renew(request: str, _reservation: Reservation) -> None:
        on_their_way.add(request)
        if len(on_their_way) == 2:  # both, before either is answered
            together.set()
        await together.wait()

    assert shop.limiter is not None
    monkeypatch.setattr(shop.limiter, "renew", renew)
    monkeypatch.setattr(ledger, "RENEW_S", 0.001)
    for _ in range(2):
        await admitted(shop, max_tokens=10)

    renewing = asyncio.create_task(shop.ledger.renew())
    async with asyncio.timeout(10):
        await together.wait()
    renewing.cancel()


async def test_a_used_up_budget_is_no_rate_limit():
    shop = Shop(users={"lgy": User("lgy", budgets={"day": 5})})

    body = {"model": MODEL, "prompt": [1] * 6}
    status, kind, _ = refused(await shop.admit(body, operation=Operation.COMPLETIONS, user="lgy"))

    assert (429, USER_BUDGETS[0].name) == (status, kind)
