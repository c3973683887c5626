"""The fleet: the mutable accounting behind the immutable view that strategies see.

Lives here: membership, health, policies, and requests in flight per pod and per model.  Not here: how a pod is chosen
(routing), where the description comes from (gateway.discovery), what a refusal looks like to the client (the pipeline).
Everything runs on one event loop and nothing here awaits, so each method is one step to everybody else.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.pod import Identity, Pod, PodState, identity
from gateway.settings import RoutingSettings
from routing import filters, table
from routing.strategy import Event, Started, Strategy
from routing.types import Decision, Endpoint, NoCandidateError, NoCandidateReason, PodId, Rng, RouteRequest

_NO_POLICY = ModelPolicy()

StrategyBuilder = Callable[[str, Rng, int], Strategy]
"""Raises UnknownStrategyError: `routing.table.build`, or what knows more names."""


class Ticket:
    """A request in flight.  Whoever sees its end first gives it back to the fleet, which alone changes it."""

    __slots__ = ("decision", "open", "pod", "request")

    def __init__(self, request: RouteRequest, decision: Decision, pod: Pod) -> None:
        self.request = request
        self.decision = decision
        self.pod = pod  # where it is counted: the chosen one, though a fallback may answer
        self.open = True


class Fleet:
    """All models and pods.  Before the first `replace` it is empty and knows nothing."""

    def __init__(
        self,
        settings: RoutingSettings,
        rng: Rng,
        *,
        health_fail_open: bool = False,
        build: StrategyBuilder = table.build,
    ) -> None:
        self._settings = settings
        self._health_fail_open = health_fail_open
        self._rng = rng
        self._build = build
        self._strategies: dict[str, Strategy] = {}  # built when first asked for
        self._policies: Mapping[str, ModelPolicy] = {}
        self._pods: dict[PodId, Pod] = {}
        self._departed: dict[Identity, Pod] = {}  # gone with requests in flight; remembered until those end
        self.names: Mapping[str, str] = {}
        """Address -> name of every endpoint there is; replaced, never changed."""
        self._serving: dict[str, list[Pod]] = {}  # known models
        self._routable: dict[str, tuple[Pod, ...]] = {}  # of `_serving`; forgotten when membership or health changes
        self._in_flight: Counter[str] = Counter()
        self._strategy(settings.strategy)  # an unknown default is found at start

    def replace(self, description: FleetDescription) -> None:
        """Make the fleet what `description` says.  Pods that stay keep their health and their count."""
        before = self._pods
        self._pods = {endpoint.id: self._pod(endpoint) for endpoint in description.endpoints}
        for pod_id, pod in before.items():
            if self._pods.get(pod_id) is not pod:
                self._part(pod)
        self._policies = description.models
        self.names = {endpoint.address: endpoint.name for endpoint in description.endpoints}
        self._serving = {model: [] for model in description.models} | filters.by_model(self._pods.values())
        self._routable.clear()

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Return whether this changed anything; a pod that is not there changes nothing."""
        pod = self._pods.get(pod_id)
        return pod is not None and self._noted(pod, pod.set_health(healthy))

    def set_draining(self, pod_id: PodId, draining: bool) -> bool:
        """Return whether this changed anything.  A draining pod finishes what it has and gets nothing new."""
        pod = self._pods.get(pod_id)
        return pod is not None and self._noted(pod, pod.set_draining(draining))

    def strategy_for(self, model: str, header: str | None) -> str:
        """Return the strategy that routes this request: locked policy, header, policy, default, in this order.

        Raises UnknownStrategyError for a header that names none, unless the policy is locked and so nobody reads it.
        """
        policy = self._policies.get(model, _NO_POLICY)
        preferred = policy.strategy or self._settings.strategy
        return preferred if policy.locked else table.parse_header(header) or preferred

    def rps(self, model: str) -> int | None:
        """Requests per second that the model's policy allows; None = unlimited."""
        return self._policies.get(model, _NO_POLICY).rps

    def check(self, request: RouteRequest) -> None:
        """Raise NoCandidateError when `route` would now: before anything is charged for a request nobody can take."""
        self._candidates(request)

    def route(self, request: RouteRequest, strategy: str, now_s: float) -> Ticket:
        """Choose a pod and count the request there, in one step.  The ticket must be released.

        Raises NoCandidateError and UnknownStrategyError; then nothing is counted.
        """
        candidates = self._candidates(request)
        decision = self._strategy(strategy).pick(request, candidates, now_s)
        pod = self._pods[decision.pod.id]
        if not pod.endpoint.ready:
            decision = decision._replace(reason=f"{decision.reason}, none healthy")
        pod.in_flight += 1
        self._in_flight[request.model] += 1
        self.observe(Started(pod.endpoint.id, request, now_s))
        return Ticket(request, decision, pod)

    def release(self, ticket: Ticket) -> bool:
        """Take the request off the counts; return False, and do nothing, when that was done before.

        A request's end has several witnesses that race: the one that gets True settles and reports.
        """
        if not ticket.open:
            return False
        ticket.open = False
        self._in_flight[ticket.request.model] -= 1
        pod = ticket.pod
        pod.in_flight -= 1
        if pod.gone and not pod.in_flight:
            del self._departed[identity(pod.endpoint)]
        return True

    def observe(self, event: Event) -> None:
        """Tell every strategy in use."""
        for strategy in self._strategies.values():
            strategy.observe(event)

    @property
    def known_any(self) -> bool:
        """Whether any model is known: an unknown one is then the caller's mistake rather than our ignorance."""
        return bool(self._serving)

    def models(self) -> Sequence[str]:
        """All known model names, adapters included, those without a ready pod too."""
        return tuple(self._serving)

    def in_flight(self) -> Mapping[str, int]:
        """Requests in flight by model; a known model without any is 0."""
        return dict.fromkeys(self._serving, 0) | +self._in_flight

    def endpoint_counts(self) -> Mapping[tuple[str, PodState], int]:
        """Pods by model and state, zeros included, for `forebay_endpoints{model,state}`."""
        counts = {(model, state): 0 for model in self._serving for state in PodState}
        for pod in self.pods():
            for model in pod.endpoint.models:
                counts[model, pod.state] = counts.get((model, pod.state), 0) + 1
        return counts

    def pods(self) -> Iterator[Pod]:
        """All pods, then those that are gone with requests in flight; to read, for /debug/endpoints."""
        yield from self._pods.values()
        yield from self._departed.values()

    def _pod(self, endpoint: Endpoint) -> Pod:
        """Return the pod that `endpoint` describes: the one that is there, the one that returns, or a new one."""
        pod = self._pods.get(endpoint.id)
        if pod is not None and identity(pod.endpoint) == identity(endpoint):
            pod.describe(endpoint)
            return pod
        returned = self._departed.pop(identity(endpoint), None)
        if returned is None:
            return Pod(endpoint)
        returned.renew(endpoint)
        return returned

    def _part(self, pod: Pod) -> None:
        pod.gone = True
        if pod.in_flight:
            self._departed[identity(pod.endpoint)] = pod

    def _noted(self, pod: Pod, changed: bool) -> bool:
        """Return `changed`, having forgotten what it makes untrue."""
        if changed:
            for model in pod.endpoint.models:
                self._routable.pop(model, None)
        return changed

    def _candidates(self, request: RouteRequest) -> Sequence[Pod]:
        pods = self._routable.get(request.model)
        if pods is None:
            if request.model not in self._serving:
                raise NoCandidateError(NoCandidateReason.UNKNOWN_MODEL)
            pods = self._routable[request.model] = self._routable_now(self._serving[request.model])
        return filters.narrowed(pods, request)

    def _routable_now(self, serving: Sequence[Pod]) -> tuple[Pod, ...]:
        try:
            return filters.routable(serving)
        except NoCandidateError:
            untrusted = tuple(pod for pod in serving if pod.state is PodState.UNHEALTHY)
            if not (self._health_fail_open and untrusted):
                raise
            return untrusted

    def _strategy(self, name: str) -> Strategy:
        if name not in self._strategies:
            self._strategies[name] = self._build(name, self._rng, self._settings.fallbacks)
        return self._strategies[name]
