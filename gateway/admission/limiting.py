"""A planned request before the limiter: what is asked for, what the answer means to the client.

Lives here: the plan, the question, verdicts as errors.  Not here: the order of an admission (pipeline), the window
(ratelimit).
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
        """The user as limiters name it, "" for nobody."""
        return self.user or ""

    def charge(self, estimate: Estimate) -> Charge:
        """Return what the limiter is asked for."""
        return Charge(self.who, Amounts(1, estimate.tokens), self.route.model, self.rps)


async def reserve_or_shrink(
    plan: Plan, ask: Callable[[Charge], Awaitable[Verdict]]
) -> tuple[Admitted | OverLimit, Estimate]:
    """The verdict, and the estimate it is about.

    What was learned of lengths alone never shuts a user out, who could then teach nothing else: where more is expected
    than the limit ever allows, and the first guess would fit, an empty window is asked for.
    """
    estimate = plan.estimate
    verdict: Admitted | OverLimit = await limiter_answer(plan.who, ask(plan.charge(estimate)))
    while (  # of the user and of the user's model: each time less is asked for
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
    """What the limiter says of a user; that it does not, or not of this one, as answers to the client."""
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
