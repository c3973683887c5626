"""The fleet: the mutable state of all pods and models, of which strategies get a read-only view.

Lives here: membership, health, policies, and requests in flight per pod and per model.  Not here: how a pod is chosen
(routing), where the description comes from (gateway.discovery), the answer to a refused request (gateway.admission).
Not thread-safe: everything runs on one event loop, and nothing here awaits, so that each method is atomic.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import inf

from gateway.config.settings import RoutingSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.probing.readings import Readings
from gateway.fleet.decisions import DecisionLog
from gateway.fleet.outbox import Outbox
from gateway.fleet.pod import CACHE_TOKENS, Pod, PodIdentity, PodState, pod_identity
from gateway.fleet.pools import Pools
from gateway.fleet.siblings import Siblings
from gateway.fleet.strategies import Strategies, StrategyBuilder
from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share
from routing import filters, overload, table
from routing.overload import WaitEstimate
from routing.plans import Plans
from routing.pods.load import NONE_IN_FLIGHT, Work
from routing.pods.speed import Speed
from routing.prefix.blocks import key_digest
from routing.prefix.index import PrefixIndex
from routing.strategy import Finished, Tools
from routing.ties import Ties
from routing.turns import Turn
from routing.types import Endpoint, NoCandidateError, NoCandidateReason, PodId, Rng, RouteRequest, Slo

MAX_SEARCHED = 32
"""Pods at most that are asked one after the other for an answer that one of them has (chosen: each costs its API server
a millisecond, and a client one request of its limit)."""

_NO_POLICY = ModelPolicy()


class Fleet:
    """All models and pods.  Empty before the first `replace`."""

    def __init__(
        self,
        settings: RoutingSettings,
        rng: Rng,
        *,
        health_fail_open: bool = False,
        build: StrategyBuilder = table.build,
        outbox: Outbox | None = None,
    ) -> None:
        self._settings = settings
        self._health_fail_open = health_fail_open
        self.ties = Ties(rng)
        self.plans = Plans()
        tools = Tools(rng, settings.fallbacks, settings.output_weight, self.ties, self.plans)
        self._strategies = Strategies(tools, build)
        self.pools = Pools(settings)
        self._index = PrefixIndex()
        self._outbox = outbox or Outbox("")
        self.prefix_key = 0
        """The key of block hashes, set by `set_prefix_key`."""
        self._speeds: dict[object, Speed] = {}  # shared by pods of one GPU type, engine and base model
        self._failing: set[Pod] = set()
        self._siblings = Siblings(self._outbox, self._index, self._failing)
        self._policies: Mapping[str, ModelPolicy] = {}
        self.objectives: Mapping[str, int] = {}
        """The priority of requests by the name of their objective."""
        self._pods: dict[PodId, Pod] = {}
        self._departed: dict[PodIdentity, Pod] = {}  # removed with requests in flight; kept until those end
        self.names: Mapping[str, str] = {}
        """The name of every endpoint by its address; replaced as a whole, never modified."""
        self.decisions = DecisionLog()
        self._serving: dict[str, list[Pod]] = {}  # by model, for every known model
        self._routable: dict[str, tuple[Pod, ...]] = {}  # cache of the routable pods by model; see _invalidate_routable
        self._slos: Mapping[str, Slo] = {}
        self._in_flight: Counter[str] = Counter()
        for name in filter(None, (settings.strategy, settings.shadow)):
            self._strategies.get(name)  # raises at start for an unknown name

    def replace(self, description: FleetDescription, now_s: float = -inf) -> None:
        """Make the fleet what `description` says.  Pods that stay keep their health and their requests in flight.

        New pods join at `now_s`; those of the first description count as having joined long ago, so they do not ramp.
        """
        before = self._pods
        joined_s = now_s if before else -inf
        self._pods = {endpoint.id: self._pod(endpoint, joined_s) for endpoint in description.endpoints}
        self._outbox.pods = self._pods
        for pod_id, pod in before.items():
            if self._pods.get(pod_id) is not pod:
                self._remove(pod, now_s)
        for pod_id, pod in self._pods.items():
            if before.get(pod_id) is not pod:
                self._siblings.join_pod(pod, now_s)
                self._outbox.load(pod)
        self._policies, self.objectives = description.models, description.objectives
        self.names = {endpoint.address: endpoint.name for endpoint in description.endpoints}
        self._serving = {model: [] for model in description.models} | filters.by_model(self._pods.values())
        self._routable.clear()
        self.pools.replace(description.pools, self._pods, self._serving)
        self._slos = {model: slo for model in self._serving if (slo := self._slo_of(model)) is not None}
        for pod in self._pods.values():
            slo = self._slos.get(pod.endpoint.models[0])
            pod.set_itl_slo(slo.itl_s if slo else inf)

    def set_health(self, pod_id: PodId, healthy: bool) -> bool:
        """Return whether this changed anything; an unknown pod is ignored."""
        pod = self._pods.get(pod_id)
        return pod is not None and self._invalidate_routable(pod, pod.set_health(healthy))

    def set_draining(self, pod_id: PodId, draining: bool) -> bool:
        """Return whether this changed anything.  A draining pod finishes its requests and gets no new ones."""
        pod = self._pods.get(pod_id)
        return pod is not None and self._invalidate_routable(pod, pod.set_draining(draining))

    def apply_readings(self, pod_id: PodId, readings: Readings, now_s: float, fresh_until_s: float) -> None:
        """Apply the metrics that an engine reported, valid until `fresh_until_s`; an unknown pod is ignored."""
        pod = self._pods.get(pod_id)
        if pod is not None:
            pod.apply_readings(readings, now_s, fresh_until_s)

    def strategy_for(self, policy: ModelPolicy, header: str | None) -> str:
        """Return the strategy of a request: a locked policy's, else the header's, the policy's, the default.

        Raises UnknownStrategyError for a header that names none, unless a locked policy makes it irrelevant.
        """
        preferred = policy.strategy or self._settings.strategy
        return preferred if policy.locked else table.parse_header(header) or preferred

    def policy(self, model: str, profile: str = "") -> ModelPolicy:
        """Return the policy of the model, or of its profile of this name if it has one."""
        policy = self._policies.get(model, _NO_POLICY)
        return policy.profiles.get(profile, policy)

    def slo(self, model: str) -> Slo | None:
        """Return the SLO of the model's requests; None = none."""
        return self._slos.get(model)

    def check(self, request: RouteRequest) -> None:
        """Raise NoCandidateError if `route` would do so now, so that such a request is refused before it is charged."""
        self._candidates(request)

    def route(
        self, request: RouteRequest, strategy: str, now_s: float, waited_s: float = 0.0, turn: Turn | None = None
    ) -> Ticket:
        """Choose a pod and count the request there, in one step.  The ticket must be released or withdrawn.

        `waited_s` is the time that the request spent in the admission queue; the decision's reason mentions it.
        `turn`: requests wait at other replicas too, so it goes to an open pod whose turn it is.
        Raises NoCandidateError and UnknownStrategyError; then nothing is counted.
        """
        candidates = self._candidates_not_ejected(request, now_s)
        blocks = request.blocks
        if blocks:
            request = request.with_match(self._index.match(blocks))
        chooser = self._strategies.get(strategy)
        self.ties.note(now_s)
        decision = self.pools.choose(chooser, candidates, request, now_s, turn)
        shadow = self._settings.shadow
        other = self._strategies.get(shadow).pick(request, candidates, now_s).pod.id if shadow else ""
        pod = self._pods[decision.pod.id]
        if not pod.endpoint.ready:
            decision = decision._replace(reason=f"{decision.reason}, none healthy")
        if request.search:
            others = [other.endpoint for other in candidates if other is not pod]
            decision = decision._replace(fallbacks=tuple(others[: MAX_SEARCHED - 1]))
        work = self._start(pod, request, now_s)
        if blocks:
            self._index.reuse.observe(blocks, now_s)  # once per request, not at each attempt while it waits
        if len(blocks) > 1:  # frees the blocks; a single one takes less memory than a copy of the request without it
            request = request.without_blocks()
        if waited_s:
            decision = decision.with_wait(waited_s)
        self.decisions.add(now_s, request, decision, chooser)
        return Ticket(request, decision.without_scores(), pod, work, shadow=other, waited_s=waited_s)

    def estimate_wait(self, request: RouteRequest, slo: Slo, now_s: float) -> WaitEstimate:
        """Return when pods may take a request, and how much is before it.  Raises NoCandidateError."""
        candidates = self._candidates_not_ejected(request, now_s)
        if request.blocks:
            request = request.with_match(self._index.match(request.blocks))
        return overload.estimate_wait(candidates, request, slo, now_s)

    def _start(self, pod: Pod, request: RouteRequest, now_s: float) -> Work:
        """Count the request on the pod and its prompt into the pod's cache."""
        record = None
        uncached = float(request.prompt_tokens)
        if request.blocks:
            cache = pod.cache
            pod.set_block_tokens(request.block_tokens)
            uncached = request.uncached_tokens(pod)
            record = cache.insert(request.blocks, request.match.blocks(cache.slot), now_s)
            self._outbox.prompt(pod, record, request.block_tokens)
        work = Work(request.prompt_tokens, uncached, request.output_tokens, record, sequences=request.sequences)
        pod.start(work, now_s)
        self._outbox.load(pod)
        if request.model != pod.endpoint.models[0]:
            pod.adapters.start(request.model)
        self._in_flight[request.model] += 1
        return work

    def release(self, ticket: Ticket, now_s: float) -> bool:
        """Stop counting the request as in flight.  Return False, and do nothing, if that was done before.

        Several places learn of a request's end, in any order: the one that gets True settles and reports it.
        """
        if not ticket.open:
            return False
        ticket.open = False
        self._in_flight[ticket.request.model] -= 1
        pod = ticket.pod
        pod.end(ticket.work, now_s)
        self._outbox.load(pod)
        if pod.gone and not pod.in_flight:
            del self._departed[pod_identity(pod.endpoint)]
        return True

    def withdraw(self, ticket: Ticket, now_s: float) -> None:
        """Undo `route` for a request that was not sent."""
        self._end(ticket, computed=False, now_s=now_s)
        self.release(ticket, now_s)

    def finish(self, ticket: Ticket, event: Finished) -> float | None:
        """Learn from a request's end, and let every strategy in use learn.  Call it once per ticket, after `release`.

        Pods learn nothing from a request that failed or that they did not compute, but its failure.  Returns the
        request's actual cost in weighted tokens; None when it is not known.
        """
        pod, work, now_s = ticket.pod, ticket.work, event.now_s
        elsewhere = event.pod != pod.endpoint.id  # a fallback answered
        computed = event.computed and not event.failed
        self._end(ticket, computed=computed and not elsewhere, now_s=now_s)
        sent_s = now_s - (event.duration_s or 0.0)
        failed = event.failed or (elsewhere and not ticket.request.search)
        if failed or event.answered:
            self._record_outcome(pod, failed, sent_s, now_s)
        if elsewhere and event.pod in self._pods:
            pod = self._pods[event.pod]
            if event.failed or event.answered:
                self._record_outcome(pod, event.failed, sent_s, now_s)
        cost = event.cost(self._settings.output_weight)
        own = None if elsewhere else work
        if computed:
            pod.answered(own, cost, now_s)
            self._outbox.load(pod)
        if computed and event.answered and event.output_tokens is not None and event.duration_s is not None:
            has_taught = pod.learn(own, event.duration_s, event.output_tokens, cost, now_s)
            if has_taught and own is not None:
                self._outbox.sample(pod, own, event.output_tokens, event.duration_s, cost)
        if event.computed and self._strategies.counts_users:
            self._outbox.serve(event.request.user, cost)
        self._strategies.observe(event)
        return cost if event.failed or event.output_tokens is not None else None

    def _end(self, ticket: Ticket, *, computed: bool, now_s: float) -> None:
        """Forget what the request was believed to leave on its pod, unless the pod computed it."""
        pod, work, model = ticket.pod, ticket.work, ticket.request.model
        if model != pod.endpoint.models[0]:
            pod.adapters.end(model, used=computed)
        if computed:
            return
        pod.gave_up(work, now_s)
        self._outbox.load(pod)
        if work.record is not None:
            self._outbox.withdrawal(pod, work.record)
            pod.cache.withdraw(work.record)

    def record_failed_attempt(self, address: str, now_s: float) -> None:
        """Record that the pod at this address, if there is one, failed an attempt now."""
        for pod in self._pods.values():
            if pod.endpoint.address == address:
                self._record_outcome(pod, True, now_s, now_s)

    def apply(self, share: Share, now_s: float) -> None:
        """Take over what another replica told; each message once, in order, and each heartbeat."""
        self._siblings.apply(share, self._pods, now_s)
        for user, tokens in share.served.items():
            self._strategies.serve(user, tokens, now_s)

    def forget(self, replica: str, now_s: float) -> None:
        """Forget the load of a replica that is gone."""
        self._siblings.forget(replica, self._pods, now_s)

    def set_prefix_key(self, key: int) -> None:
        """Hash blocks with this key, of 64 bits, from now on; what was hashed with another is forgotten."""
        if key != self.prefix_key:
            self.prefix_key = key
            self._outbox.prefix_key = key_digest(key)
            for pod in self._pods.values():
                pod.cache.clear()

    def _record_outcome(self, pod: Pod, failed: bool, sent_s: float, now_s: float) -> None:
        if (failed or pod.failures) and pod.record_outcome(failed, sent_s, now_s):
            (self._failing.add if pod.failures else self._failing.discard)(pod)
            self._outbox.proof(pod)

    @property
    def has_models(self) -> bool:
        """Whether any model is known, so that a request for an unknown one is the caller's mistake."""
        return bool(self._serving)

    def models(self) -> Sequence[str]:
        """Return all known model names, with adapters and with models that have no ready pod."""
        return tuple(self._serving)

    def model_lengths(self, model: str) -> Sequence[int | None]:
        """Return how many tokens each pod of the model takes, by what its engine says; None = it has not said it."""
        return [pod.max_model_len(model) for pod in self._serving.get(model, ())]

    def set_model_lengths(self, pod_id: PodId, lengths: Mapping[str, int]) -> None:
        """Take the lengths of the models that an engine serves; an unknown pod is ignored."""
        pod = self._pods.get(pod_id)
        if pod is not None:
            pod.model_lengths = lengths

    @property
    def has_ready_pod(self) -> bool:
        """Whether any request could be served now."""
        return any(pod.endpoint.ready and not pod.endpoint.draining for pod in self._pods.values())

    def in_flight(self) -> Mapping[str, int]:
        """Return requests in flight by model, 0 for a known model without any."""
        return dict.fromkeys(self._serving, 0) | +self._in_flight

    def endpoint_counts(self) -> Mapping[tuple[str, str], int]:
        """Return the number of pods by model and state, zeros included, for `forebay_endpoints{model,state}`."""
        counts = {(model, state.value): 0 for model in self._serving for state in PodState}
        for pod in self.pods():
            for model in pod.endpoint.models:
                key = model, pod.state.value
                counts[key] = counts.get(key, 0) + 1
        return counts

    def pods(self) -> Iterator[Pod]:
        """Yield all pods, then those that were removed with requests in flight, for reading only."""
        yield from self._pods.values()
        yield from self._departed.values()

    def _pod(self, endpoint: Endpoint, joined_s: float) -> Pod:
        """Return the pod that `endpoint` describes: an existing one, one that comes back, or a new one."""
        pod = self._pods.get(endpoint.id)
        if pod is not None and pod_identity(pod.endpoint) == pod_identity(endpoint):
            pod.update(endpoint)
            return pod
        returned = self._departed.pop(pod_identity(endpoint), None)
        cache = self._index.join(CACHE_TOKENS)
        if returned is not None:
            returned.reset(endpoint, cache, joined_s)
            return returned
        kind = (endpoint.gpu_type, endpoint.engine, endpoint.models[:1])
        return Pod(endpoint, cache, joined_s, kind=self._speeds.setdefault(kind, Speed()))

    def _slo_of(self, model: str) -> Slo | None:
        policy, default = self._policies.get(model, _NO_POLICY), self._settings
        ttft_s = default.slo_ttft_s if policy.slo_ttft_s is None else policy.slo_ttft_s
        return Slo(ttft_s, policy.slo_itl_s or default.slo_itl_s) if ttft_s else None

    def _remove(self, pod: Pod, now_s: float) -> None:
        pod.gone = True
        pod.count_elsewhere(pod.elsewhere, NONE_IN_FLIGHT, now_s)
        self._outbox.load(pod)
        self._failing.discard(pod)
        self._index.leave(pod.cache)
        if pod.in_flight:
            self._departed[pod_identity(pod.endpoint)] = pod

    def _invalidate_routable(self, pod: Pod, changed: bool) -> bool:
        """Return `changed`; if it is true, drop the cached routable pods of the pod's models."""
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
        return filters.narrow(pods, request)

    def _candidates_not_ejected(self, request: RouteRequest, now_s: float) -> Sequence[Pod]:
        """Return the candidates that are not ejected, or all of them if every one is."""
        candidates = self._candidates(request)
        if self._failing:
            return [pod for pod in candidates if not pod.is_ejected(now_s)] or candidates
        return candidates

    def _routable_now(self, serving: Sequence[Pod]) -> tuple[Pod, ...]:
        try:
            return filters.routable(serving)
        except NoCandidateError:
            unhealthy = tuple(pod for pod in serving if pod.state is PodState.UNHEALTHY)
            if not (self._health_fail_open and unhealthy):
                raise
            return unhealthy
