"""A planned request before the limiter: its charge, and verdicts as errors for the client.

Lives here: the plan, the question to the limiter.  Not here: the order of an admission (pipeline), windows (ratelimit).
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from gateway.accounting.estimates import Estimator, OutputBounds, PromptSize
from gateway.accounting.settlement import Estimate
from gateway.admission.limit_headers import limit_headers
from gateway.openai.errors import (
    BrokenUserError,
    LimiterAwayError,
    LimitExceededError,
    RefusalError,
    UnknownUserError,
)
from ratelimit.limits import (
    Admitted,
    Amounts,
    Charge,
    LimiterUnavailableError,
    MalformedUserError,
    UnknownUser,
    Verdict,
)
from ratelimit.limits import Refused as OverLimit
from routing.types import RouteRequest

T = TypeVar("T")


class Plan(NamedTuple):
    """A request that could be routed, before it is known whether it may be."""

    user: str | None  # None = nobody's limits
    size: PromptSize
    bounds: OutputBounds
    estimate: Estimate
    first_guess: int  # of all tokens, before anything was learned about lengths
    estimator: Estimator
    route: RouteRequest
    strategy: str
    rps: int | None  # the model's limit

    @property
    def limited(self) -> bool:
        """Whether any limit may apply."""
        return self.user is not None or self.rps is not None

    @property
    def who(self) -> str:
        """The user as limiters name it; "" = no user."""
        return self.user or ""

    def charge(self, estimate: Estimate) -> Charge:
        """Return the charge of a request that is estimated so."""
        return Charge(self.who, Amounts(1, estimate.tokens), self.route.model, self.rps)


async def reserve_or_shrink(
    plan: Plan, ask: Callable[[Charge], Awaitable[Verdict]]
) -> tuple[Admitted | OverLimit, Estimate]:
    """Return the verdict and the estimate that it is about.

    Learned lengths alone must not shut a user out for ever, because nothing shorter could be learned then.  So where the
    estimate exceeds a limit of tokens, and the first guess does not, the estimate shrinks to the limit.
    """
    estimate = plan.estimate
    verdict: Admitted | OverLimit = await limiter_answer(plan.who, ask(plan.charge(estimate)))
    while (  # at most twice, for the user's own limit and the one for the model: each time less is asked for
        isinstance(verdict, OverLimit)
        and verdict.kind.unit == "tokens"
        and verdict.retry_after_s is None
        and plan.first_guess <= verdict.limit
    ):
        estimate = estimate._replace(output_tokens=verdict.limit - estimate.prompt_tokens)
        verdict = await limiter_answer(plan.who, ask(plan.charge(estimate)))
    return verdict, estimate


def admitted(plan: Plan, verdict: Admitted | OverLimit) -> Admitted:
    """Return the verdict.  Raises RefusalError unless it admits."""
    if isinstance(verdict, Admitted):
        return verdict
    raise _over_limit(plan, verdict)


async def limiter_answer(user: str, question: Awaitable[T | UnknownUser | None]) -> T:
    """Await an answer about a user.  Raises RefusalError where there is none, or no such user."""
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
    message = verdict.kind.message(plan.who, plan.route.model, verdict.limit)
    error = LimitExceededError(verdict.kind, message, retry_after_s=verdict.retry_after_s)
    if plan.user is not None:
        error.headers = limit_headers(verdict.quotas)
    return error
