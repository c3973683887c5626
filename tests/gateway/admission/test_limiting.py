"""The meaning of a limiter's answers to a client."""

from collections.abc import Awaitable
from typing import Any

import pytest

from gateway.admission.limiting import limiter_answer
from gateway.openai.errors import BrokenUserError, LimiterAwayError, RefusalError, UnknownUserError
from ratelimit.limits import LimiterUnavailableError, MalformedUserError, UnknownUser


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
