"""What a limiter's answers mean to a client."""

from collections.abc import Awaitable
from typing import Any

import pytest

from gateway.admission.limiting import limiter_answer, reserve_or_shrink
from gateway.openai.errors import BrokenUserError, LimiterAwayError, RefusalError, UnknownUserError
from ratelimit.limits import (
    Admitted,
    Charge,
    LimiterUnavailableError,
    MalformedUserError,
    UnknownUser,
    User,
    Verdict,
)
from tests.support.shop import Shop


async def said(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (None, UnknownUserError, 401),
        (UnknownUser("lgy"), UnknownUserError, 401),
        (LimiterUnavailableError("lgy"), LimiterAwayError, 503),
        (MalformedUserError("lgy"), BrokenUserError, 500),
    ],
)
async def test_a_limiter_without_a_verdict_is_an_error_of_its_own(
    answer: object, error: type[RefusalError], status: int
):
    question: Awaitable[Any] = said(answer)

    with pytest.raises(error) as refused:
        await limiter_answer("lgy", question)
    assert status == refused.value.status


async def test_a_verdict_is_passed_on():
    assert 7 == await limiter_answer("lgy", said(7))


@pytest.mark.parametrize(("short_of_prior", "is_admitted"), [(0, True), (1, False)])
async def test_less_is_asked_for_only_where_the_first_guess_fits_the_limit(short_of_prior: int, is_admitted: bool):
    shop = Shop(users={"lgy": User("lgy")})
    plan = shop.planner.plan(shop.command(user="lgy"))
    plan = plan._replace(estimate=plan.estimate._replace(output_tokens=10 * plan.prior_tokens))
    limit = plan.prior_tokens - short_of_prior
    shop.users["lgy"] = User("lgy", tpm=limit)
    asked: list[int] = []

    def ask(charge: Charge) -> Awaitable[Verdict]:
        asked.append(charge.amounts.tokens)
        return shop.limiter.check(charge)

    verdict, estimate = await reserve_or_shrink(plan, ask)

    assert is_admitted is isinstance(verdict, Admitted)
    assert [plan.estimate.tokens, limit][: 1 + is_admitted] == asked
    assert asked[-1] == estimate.tokens
