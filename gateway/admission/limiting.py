"""A planned request before the limiter: what is asked for, and what the answer means to the client.

Lives here: the question, and verdicts as errors.  Not here: the plan (plan), the order of an admission (admit), the
window (ratelimit).
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from gateway.accounting.settlement import Estimate
from gateway.admission.plan import Plan
from gateway.openai.errors import (
    BrokenUserError,
    LimiterAwayError,
    LimitExceededError,
    RefusalError,
    UnknownUserError,
)
from gateway.openai.limit_headers import limit_headers
from ratelimit.limits import (
    Admitted,
    Charge,
    Limiter,
    LimiterUnavailableError,
    MalformedUserError,
    Reservation,
    UnknownUser,
    Verdict,
)
from ratelimit.limits import Refused as OverLimit

T = TypeVar("T")


class Charged(NamedTuple):
    """An admitted request's charge: its estimate, and the limiter's admission, None when no user's limits apply."""

    estimate: Estimate
    admitted: Admitted | None

    @property
    def reservation(self) -> Reservation | None:
        """The reservation to settle when the request ends; None when no user's limits apply."""
        return self.admitted.reservation if self.admitted is not None else None


def charge(plan: Plan, limiter: Limiter) -> Awaitable[Charged]:
    """Ask the limiter now for what the plan needs.  Awaiting the answer raises RefusalError unless it admits."""
    return _charged(plan, reserve_or_shrink(plan, limiter.reserve))


async def _charged(plan: Plan, judging: Awaitable[tuple[Admitted | OverLimit, Estimate]]) -> Charged:
    verdict, estimate = await judging
    if isinstance(verdict, OverLimit):
        raise _over_limit(plan, verdict)
    return Charged(estimate, verdict if plan.user is not None else None)


def reserve_or_shrink(
    plan: Plan, ask: Callable[[Charge], Awaitable[Verdict]]
) -> Awaitable[tuple[Admitted | OverLimit, Estimate]]:
    """Ask now; the answer is the verdict and the estimate that it is about.

    Learned answer lengths alone must not shut a user out for ever, because nothing shorter could be learned then.  So
    where the estimate exceeds a limit of tokens, and the prior guess does not, the estimate shrinks to the limit.
    """
    return _reserve_or_shrink(plan, ask, ask(plan.charge(plan.estimate)))


async def _reserve_or_shrink(
    plan: Plan, ask: Callable[[Charge], Awaitable[Verdict]], first: Awaitable[Verdict]
) -> tuple[Admitted | OverLimit, Estimate]:
    estimate = plan.estimate
    user = plan.route.user
    verdict: Admitted | OverLimit = await limiter_answer(user, first)
    while (  # at most twice, for the user's own limit and the one for the model: each time less is asked for
        isinstance(verdict, OverLimit)
        and verdict.kind.unit == "tokens"
        and verdict.retry_after_s is None
        and plan.prior_tokens <= verdict.limit
    ):
        estimate = estimate._replace(output_tokens=verdict.limit - estimate.prompt_tokens)
        verdict = await limiter_answer(user, ask(plan.charge(estimate)))
    return verdict, estimate


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
    message = verdict.kind.message(plan.route.user, plan.route.model, verdict.limit)
    error = LimitExceededError(verdict.kind, message, retry_after_s=verdict.retry_after_s)
    if plan.user is not None:
        error.headers = limit_headers(verdict.quotas)
    return error
