"""From a parsed request to a pod or a refusal: who, how much, where.

Lives here: the order of the steps and their translation into headers and errors.
Not here: Envoy's messages (extproc), the window (ratelimit), the choice (routing), the end (ledger).
"""

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress

import orjson

from gateway.accounting.estimates import Estimator, OutputBounds, PromptSize
from gateway.accounting.ledger import Ledger, OpenRequest
from gateway.accounting.settlement import Estimate
from gateway.admission.identity import Identity
from gateway.admission.limit_headers import limit_headers
from gateway.admission.limiting import Plan, admitted, limiter_answer, reserve_or_shrink
from gateway.admission.pending import PendingAdmission
from gateway.admission.queue import AdmissionQueue
from gateway.config.settings import Settings
from gateway.envoy.names import (
    DESTINATION,
    EXCHANGE_KEY,
    EXCHANGE_NAMESPACE,
    LB_NAMESPACE,
    RESPONSE_NAMESPACE,
)
from gateway.extproc.commands import Admit, Answer, Refuse
from gateway.extproc.events import Answered, Refused, Routed
from gateway.fleet.fleet import Fleet, Ticket
from gateway.observability.metrics import NONE_HEALTHY, Metrics
from gateway.openai.answers import check_record, models_list, usage_record
from gateway.openai.errors import (
    BadRequestError,
    ClientGoneError,
    InvalidFilterError,
    InvalidStrategyError,
    NoReadyPodError,
    OverloadedError,
    RefusalError,
    UnknownModelError,
    header_safe,
)
from gateway.openai.paths import Operation
from gateway.serving.eager import begin
from ratelimit.limits import (
    NOTHING,
    Admitted,
    Limiter,
    LimiterUnavailableError,
    MalformedUserError,
    Reservation,
    Usage,
)
from routing.prefix.blocks import BLOCK_BYTES, SHORT, block_hashes
from routing.selectors import InvalidSelectorError, Selector, parse_selector
from routing.table import UnknownStrategyError
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest

RETRY_NOT_READY_S = 5.0
"""`retry-after` when a model has no ready pod: a restart of an engine process is seconds at best (chosen)."""


DRY_RUN = "dry-run"
"""The request header.  Not `x-forebay-*`: those are the gateway's own, and stripped from what clients send."""


Waits = Callable[[Callable[[], None]], None]


def _never_leaves(_leave: Callable[[], None]) -> None:
    """Nobody would know if the client left."""


def _unprepared(_routed: Routed) -> None:
    """Nothing is done beforehand."""


class Pipeline:
    """Admits requests for one worker.

    `worker` and a counter from `first_id` make exchange ids.  Replicas on other hosts have workers of the same name,
    and a worker started again keeps its own: a `first_id` drawn at random keeps their ids apart.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        identity: Identity,
        fleet: Fleet,
        late: AdmissionQueue,
        limiter: Limiter,
        ledger: Ledger,
        metrics: Metrics,
        worker: str,
        clock: Callable[[], float],
        first_id: int = 1,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._fleet = fleet
        self._late = late
        self._limiter = limiter
        self._ledger = ledger
        self._metrics = metrics
        self._worker = worker
        self._clock = clock
        self._ids = itertools.count(first_id)
        self._estimators: dict[str, Estimator] = {}

    async def admit(
        self, command: Admit, waits: Waits = _never_leaves, prepare: Callable[[Routed], None] = _unprepared
    ) -> tuple[Routed, str] | Refused | Answered:
        """Reserve and pick.  Returns what goes to Envoy and the id under which the ledger knows the request.

        A dry run is answered instead: nothing is charged, nothing forwarded.  `waits` is told how to give a request up
        that has to wait; `prepare` what will go to Envoy if the limiter admits, but for what the verdict adds to it.
        """
        try:
            if _is_dry_run(command.headers):
                return await self._dry_run(command)
            return await self._admit(command, waits, prepare)
        except RefusalError as error:
            return await self.refuse(Refuse(error, command.headers))

    async def refuse(self, command: Refuse) -> Refused:
        """Count a refusal and add the headers that a user with limits sees on every answer.  Charges nothing."""
        self._metrics.refusal(command.error.kind)
        headers = dict(command.error.headers)
        if not headers and (user := await self._identity.known(command.headers)) is not None:
            headers = await self._quota_headers(user)
        return Refused(command.error, headers)

    async def answer(self, command: Answer) -> Answered | Refused:
        """GET /v1/models and /v1/usage, to whoever may send requests; charges nothing."""
        try:
            user = await self._identity.user(command.headers)
            if command.operation is Operation.USAGE:
                return await self._usage(user)
            quota = await self._quota_headers(user) if user is not None else {}
        except RefusalError as error:
            return await self.refuse(Refuse(error, command.headers))
        return Answered(orjson.dumps(models_list(self._fleet.models())), quota)

    async def _usage(self, user: str | None) -> Answered:
        if user is None:
            raise self._identity.missing()
        usage: Usage = await limiter_answer(user, self._limiter.usage(user))
        return Answered(orjson.dumps(usage_record(usage)), limit_headers(usage.quotas))

    async def _dry_run(self, command: Admit) -> Answered:
        """Whether the request would be admitted now, and if not, when; what is no matter of limits is refused."""
        plan = await self._plan(command)
        verdict, estimate = await reserve_or_shrink(plan, self._limiter.check)
        shown = {} if plan.user is None else limit_headers(verdict.quotas)
        return Answered(orjson.dumps(check_record(verdict, estimate.tokens)), shown)

    async def _plan(self, command: Admit) -> Plan:
        """What the request would be charged and how it would be routed.  Raises RefusalError where it cannot be."""
        request, headers = command.request, command.headers
        user = await self._identity.user(headers)
        estimator = self._estimator(request.model)
        size = PromptSize(request.prompt_bytes, request.prompt_token_ids)
        bounds = OutputBounds(request.max_output_tokens, request.choices)
        estimate = Estimate(
            estimator.prompt_tokens(size),
            estimator.output_tokens(bounds, user or ""),
            request.stream,
        )
        prompt = request.prompt_text()
        block_tokens = BLOCK_BYTES * estimator.text_tokens(size) / max(1, len(prompt))
        route = RouteRequest(
            model=request.model,
            user=user or "",
            prompt_tokens=estimate.prompt_tokens,
            output_tokens=estimate.output_tokens,
            session=headers.get("x-session-id", ""),
            subset=command.subset,
            selector=_selector(headers.get("external-filter")),
            slo=self._fleet.slo(request.model),
            blocks=block_hashes(prompt, request.model, request.cache_salt),
            block_tokens=block_tokens,
            short_tokens=SHORT * block_tokens,
        )
        strategy = self._strategy(route.model, headers)
        self._check(route)
        first_guess = estimate.prompt_tokens + estimator.first_guess(bounds)
        rps = self._fleet.rps(route.model)
        return Plan(user, size, bounds, estimate, first_guess, estimator, route, strategy, rps)

    async def _admit(self, command: Admit, waits: Waits, prepare: Callable[[Routed], None]) -> tuple[Routed, str]:
        """All that the verdict does not change is done while the limiter is asked; what that refuses is taken back."""
        started_s = self._clock()
        plan = await self._plan(command)
        ticket = None
        if plan.route.slo is not None:  # what is refused for load is refused before anything is charged
            turn = PendingAdmission(self._late, plan.route, plan.route.slo, plan.strategy, started_s)
            if turn.waits:
                waits(turn.leave)
                with self._ledger.awaiting():
                    return await self._admit_later(command, plan, turn)
            ticket = await self._await_ticket(plan, turn)
        asked_s = self._clock()
        try:
            judging = begin(reserve_or_shrink(plan, self._limiter.reserve)) if plan.limited else None
            if judging is not None and judging.done:
                admitted(plan, judging.result()[0])  # a refusal known already costs no pick
            judged_s = self._clock()
            ticket = ticket or self._route(plan)
            opened, routed, response = self._prepared(plan, ticket, command)
            decided_s = self._clock()
            prepare(routed)
            if judging is not None:
                verdict, estimate = await judging
                self._charged(plan, opened, response, admitted(plan, verdict), estimate)
        except BaseException:
            if ticket is not None:
                self._fleet.withdraw(ticket, self._clock())
            raise
        self._open(plan, opened)
        self._metrics.limiter_answered(self._clock() - asked_s)
        self._metrics.decided((asked_s - started_s) + (decided_s - judged_s))
        return routed, opened.id

    async def _admit_later(self, command: Admit, plan: Plan, turn: PendingAdmission) -> tuple[Routed, str]:
        """Charge at once, so that nobody waits who may not send; who then cannot be sent gets the charge back."""
        entered_s = self._clock()
        try:
            question = reserve_or_shrink(plan, self._limiter.reserve) if plan.limited else None
            verdict, estimate = await question if question is not None else (None, plan.estimate)
            admission = admitted(plan, verdict) if verdict is not None else None
        except BaseException:
            turn.leave()
            with suppress(NoCandidateError, ClientGoneError):
                self._fleet.withdraw(await turn.ticket(), self._clock())
            raise
        try:
            ticket = await self._await_ticket(plan, turn)
        except RefusalError:
            if admission is not None and plan.user is not None:
                await self._give_back(admission.reservation)
            raise
        waited_s = self._clock() - entered_s
        ticket.decision = ticket.decision.after(waited_s)
        opened, routed, response = self._prepared(plan, ticket, command)
        if admission is not None:
            self._charged(plan, opened, response, admission, estimate)
        self._open(plan, opened)
        self._metrics.waited(waited_s)
        return routed, opened.id

    async def _await_ticket(self, plan: Plan, turn: PendingAdmission) -> Ticket:
        try:
            return await turn.ticket()
        except NoCandidateError as error:
            raise self._no_candidate(error, plan.route) from error

    async def _give_back(self, reservation: Reservation) -> None:
        self._limiter.release(reservation)
        try:
            await self._limiter.settle(reservation, NOTHING)
        except LimiterUnavailableError:
            self._metrics.error("settle")  # it leaves with its window

    def _prepared(self, plan: Plan, ticket: Ticket, command: Admit) -> tuple[OpenRequest, Routed, dict[str, str]]:
        """What the ledger and Envoy are told, but for limits: those go into the dict, which Envoy's part refers to."""
        opened = OpenRequest(
            f"{self._worker}-{next(self._ids):x}", ticket, plan.size, plan.bounds, plan.estimate, plan.estimator
        )
        response: dict[str, str] = {}
        return opened, self._routed(opened, command.headers, response), response

    def _charged(
        self, plan: Plan, opened: OpenRequest, response: dict[str, str], verdict: Admitted, estimate: Estimate
    ) -> None:
        """Enter what the limiter took."""
        opened.estimate = estimate
        if plan.user is not None:
            opened.reservation = verdict.reservation
            response |= limit_headers(verdict.quotas)

    def _open(self, plan: Plan, opened: OpenRequest) -> None:
        ticket = opened.ticket
        if not ticket.pod.endpoint.ready:
            self._metrics.fallback(plan.strategy, NONE_HEALTHY)
        if ticket.shadow:
            agrees = ticket.shadow == ticket.decision.pod.id
            self._metrics.shadowed(plan.strategy, self._settings.routing.shadow, agrees)
        if ticket.decision.fallback:
            self._metrics.fallback(plan.strategy, ticket.decision.fallback)
        self._ledger.open(opened)

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

    def _route(self, plan: Plan) -> Ticket:
        try:
            return self._fleet.route(plan.route, plan.strategy, self._clock())
        except NoCandidateError as error:
            raise self._no_candidate(error, plan.route) from error

    def _no_candidate(self, error: NoCandidateError, route: RouteRequest) -> RefusalError:
        """Contracts section 1: 404 once any model is known; 503 with an empty pool or under a subset hint."""
        if error.why is NoCandidateReason.UNKNOWN_MODEL and self._fleet.known_any and route.subset is None:
            existing = ", ".join(self._fleet.models())
            return UnknownModelError(f"model {route.model} does not exist, must be one of: {existing}", param="model")
        if error.why is NoCandidateReason.OVERLOADED:
            return OverloadedError(f"model {route.model} is overloaded", retry_after_s=error.retry_after_s)
        return NoReadyPodError(f"model {route.model}: {error.why.value}", retry_after_s=RETRY_NOT_READY_S)

    async def _quota_headers(self, user: str) -> dict[str, str]:
        try:
            usage = await self._limiter.usage(user)
        except (LimiterUnavailableError, MalformedUserError):
            return {}
        return limit_headers(usage.quotas) if usage is not None else {}

    def _routed(self, opened: OpenRequest, headers: Mapping[str, str], response: dict[str, str]) -> Routed:
        """What goes to Envoy; `response` is part of it and may still grow."""
        decision = opened.ticket.decision
        response |= {"routing-strategy": decision.strategy, "x-forebay-decision": decision.reason}
        if session := headers.get("x-session-id"):
            response["x-session-id"] = header_safe(session)
        request = {DESTINATION: decision.destinations, "model": opened.ticket.request.model}
        metadata = {
            LB_NAMESPACE: request,
            RESPONSE_NAMESPACE: response,
            EXCHANGE_NAMESPACE: {EXCHANGE_KEY: opened.id},
        }
        request_id = headers.get("x-request-id") or opened.id
        shown = {"x-request-id": request_id, "request-id": request_id, "target-pod": decision.pod.name}
        if not self._settings.hide_pod_address:
            shown["target-pod-ip"] = decision.pod.address
        return Routed(request, shown, metadata, self._fleet.names, self._identity.withheld)


def _is_dry_run(headers: Mapping[str, str]) -> bool:
    """Anything else than the two words is refused: a mistake must not send and charge what was only a question."""
    said = headers.get(DRY_RUN)
    if said is None or said == "false":
        return False
    if said == "true":
        return True
    raise BadRequestError(f"{DRY_RUN} = {header_safe(said)}, must be true or false", param=DRY_RUN)


def _selector(header: str | None) -> Selector | None:
    try:
        return parse_selector(header) if header else None
    except InvalidSelectorError as error:
        raise InvalidFilterError(f"external-filter: {error}", param="external-filter") from error
