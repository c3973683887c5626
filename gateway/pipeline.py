"""From a parsed request to a pod or a refusal: who, how much, where.

Lives here: the order of the steps and their translation into headers and errors.
Not here: Envoy's messages (extproc), the window (ratelimit), the choice (routing), the end (ledger).
"""

import itertools
from collections.abc import Callable, Mapping

import orjson

from gateway.estimates import Estimator, PromptSize
from gateway.extproc.commands import Admit, Answer, Refuse
from gateway.extproc.events import Answered, Refused, Routed
from gateway.fleet import Fleet, Ticket
from gateway.ledger import Ledger, OpenRequest
from gateway.limit_headers import limit_headers
from gateway.metrics import NONE_HEALTHY, Metrics
from gateway.names import (
    DESTINATION,
    EXCHANGE_KEY,
    EXCHANGE_NAMESPACE,
    LB_NAMESPACE,
    RESPONSE_NAMESPACE,
)
from gateway.openai.errors import (
    BrokenUserError,
    ConcurrencyExceededError,
    InvalidFilterError,
    InvalidStrategyError,
    LimiterAwayError,
    ModelRpmExceededError,
    ModelTpmExceededError,
    NoReadyPodError,
    RateLimitError,
    RefusalError,
    RpmExceededError,
    RpsExceededError,
    TpmExceededError,
    UnknownModelError,
    UnknownUserError,
    header_safe,
)
from gateway.settings import Settings
from gateway.settlement import Estimate
from ratelimit.limits import (
    Admitted,
    Charge,
    Limiter,
    LimiterUnavailableError,
    LimitKind,
    MalformedUserError,
    Reservation,
    UnknownUser,
)
from ratelimit.limits import Refused as OverLimit
from routing.selectors import InvalidSelectorError, Selector, parse_selector
from routing.table import UnknownStrategyError
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest

LIMIT_ERRORS: Mapping[LimitKind, tuple[type[RateLimitError], str]] = {
    LimitKind.RPM: (RpmExceededError, "user: {user} has exceeded RPM: {limit}"),
    LimitKind.TPM: (TpmExceededError, "user: {user} has exceeded TPM: {limit}"),
    LimitKind.MODEL_RPM: (ModelRpmExceededError, "user: {user} has exceeded RPM for model {model}: {limit}"),
    LimitKind.MODEL_TPM: (ModelTpmExceededError, "user: {user} has exceeded TPM for model {model}: {limit}"),
    LimitKind.RPS: (RpsExceededError, "model: {model} has exceeded RPS: {limit}"),
    LimitKind.CONCURRENCY: (ConcurrencyExceededError, "user: {user} has exceeded CONCURRENCY: {limit}"),
}
RETRY_NOT_READY_S = 5.0
"""`retry-after` when a model has no ready pod: a restart of an engine process is seconds at best (chosen)."""


class Pipeline:
    """Admits requests for one worker.

    `worker` and a counter from `first_id` make exchange ids.  Replicas on other hosts have workers of the same name,
    and a worker started again keeps its own: a `first_id` drawn at random keeps their ids apart.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        fleet: Fleet,
        limiter: Limiter,
        ledger: Ledger,
        metrics: Metrics,
        worker: str,
        clock: Callable[[], float],
        first_id: int = 1,
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._limiter = limiter
        self._ledger = ledger
        self._metrics = metrics
        self._worker = worker
        self._clock = clock
        self._ids = itertools.count(first_id)
        self._estimators: dict[str, Estimator] = {}

    async def admit(self, command: Admit) -> tuple[Routed, str] | Refused:
        """Reserve and pick.  Returns what goes to Envoy and the id under which the ledger knows the request."""
        try:
            return await self._admit(command)
        except RefusalError as error:
            return await self.refuse(Refuse(error, command.headers))

    async def refuse(self, command: Refuse) -> Refused:
        """Count a refusal and add the headers that a user with limits sees on every answer.  Charges nothing."""
        self._metrics.refusal(command.error.kind)
        headers = dict(command.error.headers)
        user = self._user_or_none(command.headers)
        if user is not None and not headers:
            headers = await self._quota_headers(user)
        return Refused(command.error, headers)

    async def answer(self, command: Answer) -> Answered | Refused:
        """GET /v1/models: every known model name, in OpenAI's list shape; to whoever may send requests."""
        try:
            user = self._user(command.headers)
            quota = await self._quota_headers(user) if user is not None else {}
        except RefusalError as error:
            return await self.refuse(Refuse(error, command.headers))
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "forebay"} for name in self._fleet.models()]
        return Answered(orjson.dumps({"object": "list", "data": models}), quota)

    async def _admit(self, command: Admit) -> tuple[Routed, str]:
        started_s = self._clock()
        request, headers = command.request, command.headers
        user = self._user(headers)
        estimator = self._estimator(request.model)
        size = PromptSize(request.prompt_bytes, request.prompt_token_ids)
        estimate = Estimate(
            estimator.prompt_tokens(size),
            estimator.output_tokens(request.max_output_tokens, request.choices),
            request.stream,
        )
        route = RouteRequest(
            model=request.model,
            user=user or "",
            prompt_tokens=estimate.prompt_tokens,
            output_tokens=estimate.output_tokens,
            session=headers.get("x-session-id", ""),
            subset=command.subset,
            selector=_selector(headers.get("external-filter")),
        )
        strategy = self._strategy(route.model, headers)
        self._check(route)
        decided_s = self._clock()
        charge = Charge(user or "", estimate.tokens, route.model, self._fleet.rps(route.model))
        verdict = await self._reserve(charge) if user is not None or charge.rps is not None else None
        if user is None:
            verdict = None  # nobody's window, nobody's headers
        reserved_s = self._clock()
        ticket = await self._route(route, strategy, verdict)
        if not ticket.pod.endpoint.ready:
            self._metrics.fallback(strategy, NONE_HEALTHY)
        opened = OpenRequest(
            id=f"{self._worker}-{next(self._ids):x}",
            ticket=ticket,
            prompt=size,
            estimate=estimate,
            estimator=estimator,
            reservation=verdict.reservation if verdict is not None else None,
        )
        self._ledger.open(opened)
        self._metrics.limiter_answered(reserved_s - decided_s)
        self._metrics.decided((decided_s - started_s) + (self._clock() - reserved_s))
        return self._routed(opened, headers, verdict), opened.id

    def _user_or_none(self, headers: Mapping[str, str]) -> str | None:
        anonymous = self._settings.anonymous
        return headers.get("user") or (anonymous if anonymous not in {"allow", "deny"} else None)

    def _user(self, headers: Mapping[str, str]) -> str | None:
        """None = nobody in particular, without limits."""
        user = self._user_or_none(headers)
        if user is None and self._settings.anonymous == "deny":
            raise UnknownUserError("user header is missing, must name a user")
        return user

    def _estimator(self, model: str) -> Estimator:
        if model not in self._estimators:
            estimator = Estimator(self._settings.limits)
            if model not in self._fleet.models():  # a name that a client made up is not remembered
                return estimator
            self._estimators[model] = estimator
        return self._estimators[model]

    def _strategy(self, model: str, headers: Mapping[str, str]) -> str:
        try:
            return self._fleet.strategy_for(model, headers.get("routing-strategy"))
        except UnknownStrategyError as error:
            raise InvalidStrategyError(str(error)) from error

    def _check(self, route: RouteRequest) -> None:
        try:
            self._fleet.check(route)
        except NoCandidateError as error:
            raise self._no_candidate(error, route) from error

    def _no_candidate(self, error: NoCandidateError, route: RouteRequest) -> RefusalError:
        """Contracts section 1: 404 once any model is known; 503 with an empty pool or under a subset hint."""
        if error.why is NoCandidateReason.UNKNOWN_MODEL and self._fleet.known_any and route.subset is None:
            existing = ", ".join(self._fleet.models())
            return UnknownModelError(f"model {route.model} does not exist, must be one of: {existing}", param="model")
        return NoReadyPodError(f"model {route.model}: {error.why.value}", retry_after_s=RETRY_NOT_READY_S)

    async def _reserve(self, charge: Charge) -> Admitted:
        try:
            verdict = await self._limiter.reserve(charge)
        except LimiterUnavailableError as error:
            raise LimiterAwayError("limits cannot be checked now", retry_after_s=1.0) from error
        except MalformedUserError as error:
            raise BrokenUserError(f"user: {charge.user} is stored in a form that cannot be read") from error
        if isinstance(verdict, Admitted):
            return verdict
        if isinstance(verdict, UnknownUser):
            raise UnknownUserError(f"user: {charge.user} does not exist")
        raise _over_limit(charge, verdict)

    async def _route(self, route: RouteRequest, strategy: str, verdict: Admitted | None) -> Ticket:
        try:
            return self._fleet.route(route, strategy, self._clock())
        except NoCandidateError as error:  # the pods left while the limiter was asked
            if verdict is not None:
                self._limiter.release(verdict.reservation)
                await self._give_back(verdict.reservation)
            raise self._no_candidate(error, route) from error

    async def _give_back(self, reservation: Reservation) -> None:
        try:
            await self._limiter.settle(reservation, 0, requests=1)
        except LimiterUnavailableError:
            self._metrics.error("settle")  # the reservation leaves with its window

    async def _quota_headers(self, user: str) -> dict[str, str]:
        try:
            usage = await self._limiter.usage(user)
        except (LimiterUnavailableError, MalformedUserError):
            return {}
        return limit_headers(usage.requests, usage.tokens) if usage is not None else {}

    def _routed(self, opened: OpenRequest, headers: Mapping[str, str], verdict: Admitted | None) -> Routed:
        decision = opened.ticket.decision
        response = {"routing-strategy": decision.strategy, "x-forebay-decision": decision.reason}
        if verdict is not None:
            response |= limit_headers(verdict.requests, verdict.tokens, verdict.model)
        if session := headers.get("x-session-id"):
            response["x-session-id"] = header_safe(session)
        destinations = decision.destinations
        request = {DESTINATION: destinations, "model": opened.ticket.request.model}
        metadata = {
            LB_NAMESPACE: request,
            RESPONSE_NAMESPACE: response,
            EXCHANGE_NAMESPACE: {EXCHANGE_KEY: opened.id},
        }
        request_id = headers.get("x-request-id") or opened.id
        shown = {"x-request-id": request_id, "request-id": request_id, **response, "target-pod": decision.pod.name}
        if not self._settings.hide_pod_address:
            shown["target-pod-ip"] = decision.pod.address
        return Routed(request, shown, metadata, self._fleet.names)


def _selector(header: str | None) -> Selector | None:
    try:
        return parse_selector(header) if header else None
    except InvalidSelectorError as error:
        raise InvalidFilterError(f"external-filter: {error}", param="external-filter") from error


def _over_limit(charge: Charge, verdict: OverLimit) -> RefusalError:
    kind, message = LIMIT_ERRORS[verdict.kind]
    text = message.format(user=charge.user, model=charge.model, limit=verdict.limit)
    error = kind(text, retry_after_s=verdict.retry_after_s)
    if charge.user:
        error.headers = limit_headers(verdict.requests, verdict.tokens, verdict.model)
    return error
