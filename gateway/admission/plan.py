"""Plans a request: computes its charge and its routing request, before the limiter is asked or a pod is chosen.

Lives here: from a parsed request and its headers to a plan, or to a refusal.  Not here: the limiter's answer
(limiting), sending the request (admit).
"""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import uuid4

from gateway.accounting.estimates import Estimator, OutputBounds, PromptSize
from gateway.accounting.settlement import Estimate
from gateway.accounting.stream_sizes import StreamShape
from gateway.admission.granting import bounds_of
from gateway.config.limits import LimitSettings
from gateway.discovery.description import ModelPolicy
from gateway.envoy.names import CLIENT_MODEL
from gateway.extproc.commands import Admit
from gateway.fleet.fleet import Fleet
from gateway.openai.control_headers import FAIRNESS_ID, OBJECTIVE
from gateway.openai.errors import (
    BadRequestError,
    InvalidFilterError,
    InvalidStrategyError,
    ModelNotAllowedError,
    NoReadyPodError,
    OverloadedError,
    RefusalError,
    UnknownModelError,
)
from gateway.openai.prompt import Prompt
from ratelimit.accounts.sender import Sender
from ratelimit.kinds import Amounts
from ratelimit.limits import Bounds, Charge, Reserve
from ratelimit.prices import FREE, Prices
from routing.prefix.blocks import BLOCK_BYTES, FIRST_BLOCK_MISSING_SHARE, block_hashes
from routing.selectors import InvalidSelectorError, Selector, parse_selector
from routing.strategies.session_affinity import SessionAffinity
from routing.table import UnknownStrategyError
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest

PROFILE = "config-profile"
"""The header that names one of the model's profiles; one that the model does not have is as absent."""
MAX_SESSION_CHARACTERS = 256
"""Characters of `x-session-id` at most; a longer one counts as absent (chosen: ids have some 40)."""
MAX_FAIRNESS_ID_CHARACTERS = 256
"""Characters of FAIRNESS_ID at most; a longer one counts as absent (chosen, as for sessions)."""
NO_USER = "fairness-id, "
"""The beginning of who takes turns with users and is none: no user's name has a comma (docs/contracts.md section 2)."""
MAX_FILTER_CHARACTERS = 4096
"""Characters of `external-filter` at most (chosen: 64 requirements of 63 characters)."""
MAX_SHOWN_CHARACTERS = 256
"""Characters of a model's name that an error repeats, since any text of the body may be one."""
MAX_SEQUENCES = 256
"""Sequences that a request counts as at most (chosen: a batch; one that asks for absurdly many, which its engine
refuses, must not pass for the load of other clients)."""
RETRY_NOT_READY_S = 5.0
"""`retry-after` when a model has no ready pod, in seconds: an engine takes at least that to restart (chosen)."""


class Plan(NamedTuple):
    """A request that is understood, before it is known whether a pod could take it and its limits allow it."""

    user: str | None  # None: no user, and so no user's limits
    size: PromptSize
    estimate: Estimate
    estimator: Estimator
    route: RouteRequest
    strategy: str
    rps: int | None  # the model's limit of requests per second
    prices: Prices
    bounds: Bounds | None  # None = limits cannot be hard for it
    reserve: Reserve
    key: str

    @property
    def is_limited(self) -> bool:
        """Whether any limit may apply."""
        return self.user is not None or self.rps is not None

    @property
    def charge(self) -> Charge:
        """The question to the limiter.  Of its tokens only those that were sent as ids are certain."""
        estimate, size, prices = self.estimate, self.size, self.prices
        certain = Amounts(1, size.token_ids)
        amounts = Amounts(1, estimate.tokens)
        if prices is not FREE:
            certain = certain._replace(cost=prices.cost(size.token_ids, 0, size.token_ids))
            amounts = amounts._replace(cost=prices.cost(estimate.prompt_tokens, estimate.output_tokens))
        return Charge(
            self.user or "", amounts, self.route.model, self.rps, certain, self.key, self.bounds, self.reserve
        )


class Planner:
    """Makes plans.  It keeps one estimator per known model, which learns from requests that end.

    `trusts_headers`: requests may raise their own priority and say who takes turns (`picker.trust_headers`).
    """

    def __init__(self, limits: LimitSettings, fleet: Fleet, *, trusts_headers: bool) -> None:
        self._limits = limits
        self._fleet = fleet
        self._trusts_headers = trusts_headers
        self._estimators: dict[str, Estimator] = {}

    def plan(self, command: Admit) -> Plan:
        """Return the plan; whether a pod could take the request is not checked.  Raises RefusalError."""
        request, headers, user = command.request, command.headers, command.user
        model = request.model or self._unnamed_model(headers)
        if command.sender is not None and command.sender.models is not None:
            _check_key(command.sender, model, command.asked_model or model)
        estimator = self._estimator(model)
        prompt = request.prompt_text()
        size = _size(request.prompt, len(prompt))
        bounds = OutputBounds(request.max_output_tokens, request.choices)
        estimate = Estimate(
            estimator.prompt_tokens(size),
            estimator.output_tokens(bounds, user or ""),
            request.stream,
            shape=StreamShape(request.operation.path, request.event_options),
            with_usage=request.wants_usage,
            bounds=bounds,
            is_free=request.is_free,
        )
        policy = self._fleet.policy(model, headers.get(PROFILE, ""))
        strategy = self._strategy(policy, headers)
        block_tokens = BLOCK_BYTES * estimator.text_tokens(size) / max(1, len(prompt))
        route = RouteRequest(
            model=model,
            user=self._turn_taker(headers) if user is None else user,
            prompt_tokens=estimate.prompt_tokens,
            output_tokens=estimate.output_tokens,
            sequences=min(request.choices, MAX_SEQUENCES),
            session=_session(headers, strategy),
            subset=command.subset,
            selector=_selector(headers.get("external-filter")),
            slo=None if request.is_free else self._fleet.slo(model),
            priority=self._priority(headers[OBJECTIVE]) if OBJECTIVE in headers else 0,
            search=request.needs_earlier,
            blocks=block_hashes(self._fleet.prefix_key, prompt, model, request.cache_salt),
            block_tokens=block_tokens,
            first_block_missing_tokens=FIRST_BLOCK_MISSING_SHARE * block_tokens,
        )
        free = request.is_free or user is None
        return Plan(
            user,
            size,
            estimate,
            estimator,
            route,
            strategy,
            policy.rps,
            policy.prices,
            None if free else bounds_of(request, size, estimator, policy.prices),
            self._limits.reserve,
            command.sender.key if command.sender is not None else "",
        )

    def checked(self, plan: Plan) -> Plan:
        """Return the plan.  Raises RefusalError when no pod could take the request: its model may be unknown."""
        try:
            self._fleet.check(plan.route)
        except NoCandidateError as error:
            raise self.refusal(error, plan.route) from error
        return plan

    def refusal(self, error: NoCandidateError, route: RouteRequest) -> RefusalError:
        """Return what the client is told when no pod may take its request (docs/contracts.md section 1).

        An unknown model is the caller's mistake (404) once any model is known; with an empty pool, or inside a subset
        that the proxy names, it is unavailable (503).
        """
        model = route.model[:MAX_SHOWN_CHARACTERS]
        if error.why is NoCandidateReason.UNKNOWN_MODEL and self._fleet.has_models and route.subset is None:
            existing = ", ".join(self._fleet.models())
            return UnknownModelError(f"model {model} does not exist, must be one of: {existing}", param="model")
        if error.why is NoCandidateReason.NO_IDLE_POD and route.slo is not None:
            return OverloadedError(
                f"model {model} is overloaded: a prompt of about {route.prompt_tokens} tokens cannot be answered "
                f"within {route.slo.ttft_s:g} s even by an idle pod, and none became idle in time",
                retry_after_s=error.retry_after_s,
            )
        if error.why in (NoCandidateReason.OVERLOADED, NoCandidateReason.POOLS_FULL):
            return OverloadedError(f"model {model} is overloaded", retry_after_s=error.retry_after_s)
        return NoReadyPodError(f"model {model}: {error.why.value}", retry_after_s=RETRY_NOT_READY_S)

    def _unnamed_model(self, headers: Mapping[str, str]) -> str:
        """Return the model of a request whose body names none: that of the header `model`, else the only one."""
        named, existing = headers.get("model", "") or headers.get(CLIENT_MODEL, ""), self._fleet.models()
        if named or len(existing) <= 1:
            return named or "".join(existing)
        rule = f"must be named in the body or in the header model, one of: {', '.join(existing)}"
        raise BadRequestError(f"model = missing, {rule}", param="model")

    def _turn_taker(self, headers: Mapping[str, str]) -> str:
        """Return who takes turns with users where the request is nobody's; this is never a user's name."""
        fairness_id = headers.get(FAIRNESS_ID, "") if self._trusts_headers else ""
        return f"{NO_USER}{fairness_id}" if 0 < len(fairness_id) <= MAX_FAIRNESS_ID_CHARACTERS else ""

    def _priority(self, objective: str) -> int:
        priority = self._fleet.objectives.get(objective, 0)
        return priority if self._trusts_headers else min(0, priority)

    def _estimator(self, model: str) -> Estimator:
        if model not in self._estimators:
            estimator = Estimator(self._limits)
            if model not in self._fleet.models():  # a name that a client made up is not remembered
                return estimator
            self._estimators[model] = estimator
        return self._estimators[model]

    def _strategy(self, policy: ModelPolicy, headers: Mapping[str, str]) -> str:
        try:
            return self._fleet.strategy_for(policy, headers.get("routing-strategy"))
        except UnknownStrategyError as error:
            raise InvalidStrategyError(str(error)) from error


def _check_key(sender: Sender, model: str, asked_model: str) -> None:
    """Refuse a model that the key is not good for, neither by its own name nor by the one that the client asked for."""
    if not (sender.may_use(model) or sender.may_use(asked_model)):
        message = f"this API key does not have access to model {asked_model[:MAX_SHOWN_CHARACTERS]}"
        raise ModelNotAllowedError(message, param="model")


def _size(prompt: Prompt, encoded_bytes: int) -> PromptSize:
    """Return the size of a prompt from that of its encoding, so that a long one is encoded only once."""
    text_bytes = encoded_bytes - len(prompt.token_ids)
    return PromptSize(
        text_bytes, prompt.token_count, text_bytes - len(prompt.text), prompt.media_tokens, prompt.repeated_bytes
    )


def _session(headers: Mapping[str, str], strategy: str) -> str:
    """Return the session that the request names; a new one where it names none and the strategy goes by sessions."""
    session = headers.get("x-session-id", "")
    if 0 < len(session) <= MAX_SESSION_CHARACTERS:
        return session
    return uuid4().hex if SessionAffinity.name in strategy else ""


def _selector(header: str | None) -> Selector | None:
    if header and len(header) > MAX_FILTER_CHARACTERS:
        message = f"external-filter = {len(header)} characters, must have at most {MAX_FILTER_CHARACTERS}"
        raise InvalidFilterError(message, param="external-filter")
    try:
        return parse_selector(header) if header else None
    except InvalidSelectorError as error:
        raise InvalidFilterError(f"external-filter: {error}", param="external-filter") from error
