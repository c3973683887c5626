"""The pools of models: the choice of a pod where there are several, and where it is in the end.

Lives here: one decision, within what is promised and what is set.  Not here: when a pool is full (routing.spill), the
choice among the pods of one (strategies), counting the request (fleet).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf

from gateway.config.pools import PoolSettings, SpillSettings
from gateway.config.prices import PriceSettings
from gateway.config.settings import RoutingSettings
from gateway.fleet.pod import Pod
from ratelimit.prices import FREE, Prices, prices_of
from routing import overload
from routing.spill import Spill, SpillRule
from routing.strategy import Strategy
from routing.turns import Turn
from routing.types import Decision, NoCandidateError, NoCandidateReason, PodId, RouteRequest


class Pools:
    """The models whose requests go to one pool after the other: those in a pool of the settings, or in several."""

    def __init__(self, settings: RoutingSettings) -> None:
        self._fallbacks = settings.fallbacks
        self._when_full = settings.when_full
        self._settings: Mapping[str, PoolSettings] = {}
        self._prices: Mapping[str, Prices] = {}
        self._rules: Mapping[int, SpillRule] = {}
        self._spills: dict[str, Spill] = {}
        self._pods: Mapping[PodId, Pod] = {}
        self._closed: dict[str, float] = {}  # until when each pool is closed
        self.names: Mapping[str, str] = {}
        """The pool of every endpoint that is in one, by its address; replaced as a whole, never modified."""

    def replace(
        self, pools: Mapping[str, PoolSettings], pods: Mapping[PodId, Pod], serving: Mapping[str, Sequence[Pod]]
    ) -> None:
        """Take over the pools of the fleet, its pods, and those of every model."""
        self._settings, self._pods = pools, pods
        self._prices = {name: _prices(pool.prices) for name, pool in pools.items()}
        self.names = {one.endpoint.address: one.endpoint.pool for one in pods.values() if one.endpoint.pool}
        rules = {pool.priority: _rule(pool.spill) for pool in pools.values()}
        known, self._rules = self._spills if rules == self._rules else {}, rules
        self._spills = {}
        for model, some in serving.items():
            ranks = {pod.endpoint.pool_priority for pod in some}
            if len(ranks) > 1 or ranks & rules.keys():
                self._spills[model] = known.get(model) or Spill(rules)
                self._spills[model].keep(pods)

    def may_refuse(self, model: str) -> bool:
        """Return whether a request may have to wait or be refused because all pools of its model are full."""
        return model in self._spills and self._when_full != "spread"

    def close(self, pool: str, until_s: float) -> None:
        """Send nothing to a pool until then, where a model has another: its API has said so, or its own limits have."""
        self._closed[pool] = until_s

    def prices(self, pool: str) -> Prices:
        """Return the prices of tokens in a pool."""
        return self._prices.get(pool, FREE)

    def hourly_costs(self) -> Mapping[str, float]:
        """Return the price per hour of all replicas that each pool of the settings has."""
        replicas = Counter(pod.endpoint.pool for pod in self._pods.values())
        return {name: pool.cost_per_hour * replicas[name] for name, pool in self._settings.items()}

    def choose(
        self, chooser: Strategy, candidates: Sequence[Pod], request: RouteRequest, now_s: float, turn: Turn | None
    ) -> Decision:
        """Return the choice of a strategy among all candidates, or in the first pool that takes the request.

        Raises NoCandidateError: `overloaded`, `pools-full`.
        """
        spill = self._spills.get(request.model)
        if spill is None:
            return self._promised(chooser, candidates, request, now_s, turn)
        if self._closed:
            candidates = self._not_closed(candidates, now_s)
        retry_after_s = inf
        for pods, attempt in spill.attempts(candidates, request, now_s):
            rank = pods[0].endpoint.pool_priority
            try:
                decision = self._promised(chooser, pods, attempt, now_s, turn)
            except NoCandidateError as error:
                spill.refused(rank, now_s)
                retry_after_s = min(retry_after_s, error.retry_after_s)
            else:
                spill.sent(rank, request)
                return self._with_other_pool(decision, candidates)
        if self._when_full == "spread":
            return chooser.pick(request, candidates, now_s)
        why = NoCandidateReason.OVERLOADED if self._when_full == "queue" else NoCandidateReason.POOLS_FULL
        raise NoCandidateError(why, retry_after_s if retry_after_s < inf else overload.FULL_RETRY_S)

    def _promised(
        self, chooser: Strategy, candidates: Sequence[Pod], request: RouteRequest, now_s: float, turn: Turn | None
    ) -> Decision:
        """Return the choice of a strategy among the pods that can keep the request's promise, if it has one."""
        decision = chooser.pick(request, candidates, now_s)
        slo = request.slo
        if slo is not None and overload.needs_another_look(self._pods[decision.pod.id], request, slo, now_s, turn):
            decision = chooser.pick(request, overload.open_pods(candidates, request, slo, now_s, turn), now_s)
        return decision

    def _not_closed(self, candidates: Sequence[Pod], now_s: float) -> Sequence[Pod]:
        """Return the candidates in pools that are not closed; all where there are none, and their limits will tell."""
        self._closed = {pool: until_s for pool, until_s in self._closed.items() if now_s < until_s}
        return [pod for pod in candidates if pod.endpoint.pool not in self._closed] or candidates

    def _with_other_pool(self, decision: Decision, candidates: Sequence[Pod]) -> Decision:
        """Return the decision with a pod of another pool as its last fallback, since a whole pool may fail at once."""
        rank = decision.pod.pool_priority
        others = [pod for pod in candidates if pod.endpoint.pool_priority != rank]
        if not others or not self._fallbacks:
            return decision
        last = min(others, key=lambda pod: (pod.endpoint.pool_priority, pod.in_flight))
        return decision._replace(fallbacks=(*decision.fallbacks[: self._fallbacks - 1], last.endpoint))


def _prices(prices: PriceSettings) -> Prices:
    return prices_of(prices.input, prices.output, prices.cached_input)


def _rule(spill: SpillSettings) -> SpillRule:
    most = inf if spill.max_in_flight is None else spill.max_in_flight
    return SpillRule(most, spill.max_waiting, spill.max_kv_usage, spill.free_share, spill.hold_s, spill.promise_share)
