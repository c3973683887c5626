"""A planned request before the limiter: what is asked for, and what the answer means to the client.

Lives here: the question, and verdicts as errors.  Not here: the plan (plan), the order of an admission (admit), the
window (ratelimit).
"""

from collections.abc import Awaitable
from typing import TypeVar

from gateway.admission.plan import Plan
from gateway.openai.errors import (
    BrokenUserError,
    LimiterAwayError,
    LimitExceededError,
    RefusalError,
    UnknownUserError,
)
from gateway.openai.limit_headers import limit_headers
from ratelimit.kinds import LimitKind
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
        message += f"; {_too_large(verdict.kind, plan.charge)}"
    error = LimitExceededError(verdict.kind, message, retry_after_s=verdict.retry_after_s)
    if plan.user is not None:
        error.headers = limit_headers(verdict.quotas)
    return error


def _too_large(kind: LimitKind, asked: Charge) -> str:
    """Say that the request will never be admitted under the limit, and why."""
    needed = kind.of(asked.certain or asked.amounts)
    return f"this request needs {needed:,} {kind.unit}, more than the limit allows at any time"
