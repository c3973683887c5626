"""A planned request before the limiter: what is asked for, and what the answer means to the client.

Lives here: the question, and verdicts as errors.  Not here: the plan (plan), the order of an admission (admit), the
window (ratelimit).
"""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, TypeVar

from gateway.admission.granting import fitted, granted_to_each
from gateway.admission.plan import Plan
from gateway.extproc.commands import Admit
from gateway.openai.errors import (
    BrokenUserError,
    BudgetExceededError,
    LimiterAwayError,
    LimitExceededError,
    RefusalError,
    UnknownUserError,
)
from gateway.openai.limit_headers import duration, limit_headers
from gateway.openai.output_limit import with_output_limit
from ratelimit.limits import (
    Admitted,
    Charge,
    Limiter,
    LimiterUnavailableError,
    MalformedUserError,
    UnknownUser,
    Verdict,
)
from ratelimit.limits import Refused as OverLimit

T = TypeVar("T")


class Grant(NamedTuple):
    """The limiter's admission, and where it is of less than the request asks for, the maximum of each answer with the
    body that says it."""

    admitted: Admitted | None
    maximum: int | None = None
    body: bytes | None = None
    exchange_id: str = ""  # by which a hard reservation is renewed, and settled wherever it is then


def granted(command: Admit, plan: Plan, admitted: Admitted, lengths: Sequence[int | None]) -> Grant:
    """Return what a hard reservation grants; `lengths` are as in `fitted`.

    Raises BadRequestError for a body in which the maximum cannot be set.
    """
    request, bounds = command.request, plan.bounds
    maximum = None if bounds is None else granted_to_each(request, bounds, admitted.reservation.amounts.tokens)
    if maximum is not None and request.max_output_tokens is None:
        maximum = fitted(maximum, plan.size, plan.estimate.prompt_tokens, lengths)
    if maximum is None:
        return Grant(admitted)
    return Grant(admitted, maximum, with_output_limit(command.body, request.output_limit(maximum)))


def charge(plan: Plan, limiter: Limiter) -> Awaitable[Admitted | None]:
    """Ask the limiter now for what the plan needs.

    Awaiting the answer raises RefusalError unless it admits; None = admitted, and no user's limits apply.
    """
    return _charged(plan, limiter.reserve(plan.charge))


async def _charged(plan: Plan, question: Awaitable[Verdict]) -> Admitted | None:
    verdict: Admitted | OverLimit = await limiter_answer(plan.user or "", question)
    if isinstance(verdict, OverLimit):
        raise _over_limit(plan, verdict)
    return verdict if plan.user is not None else None


async def limiter_answer(user: str, question: Awaitable[T | UnknownUser | None]) -> T:
    """Await the limiter's answer about a user.  Raises RefusalError when it has none, or knows no such user."""
    try:
        answer = await question
    except LimiterUnavailableError as error:
        raise LimiterAwayError("limits cannot be checked now", retry_after_s=1.0) from error
    except MalformedUserError as malformed:
        raise BrokenUserError(f"user: {user} is stored in a form that cannot be read") from malformed
    if answer is None or isinstance(answer, UnknownUser):
        raise UnknownUserError(f"user: {user} does not exist")
    return answer


def _over_limit(plan: Plan, verdict: OverLimit) -> RefusalError:
    message = verdict.kind.message(plan.user or "", plan.route.model, verdict.limit)
    if verdict.retry_after_s is None and verdict.limit:  # of a limit of 0 the number says all
        message += f"; {_too_large(verdict, plan.charge)}"
    if verdict.kind.period:
        if verdict.retry_after_s is not None:
            message += f"; it begins anew in {duration(verdict.retry_after_s)}"
        error: LimitExceededError = BudgetExceededError(verdict.kind, message, retry_after_s=verdict.retry_after_s)
    else:
        error = LimitExceededError(verdict.kind, message, retry_after_s=verdict.retry_after_s)
    if plan.user is not None:
        error.headers = limit_headers(verdict.quotas)
    return error


def _too_large(verdict: OverLimit, asked: Charge) -> str:
    """Say that the request will never be admitted under the limit, and why."""
    kind = verdict.kind
    needed = kind.of(asked.certain or asked.amounts)
    if needed <= verdict.limit and asked.bounds is not None:  # the limit is hard, so it is the upper bound that counts
        needed = kind.of(asked.bounds.least)
    return f"this request needs {kind.shown(needed):,} {kind.unit}, more than the limit allows at any time"
