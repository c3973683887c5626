"""Spilling: where a model has engines in several pools, requests go to the preferred one until it is full.

Lives here: when pods and pools are full, and how long a request may stay in a later pool for what is cached there.
Not here: the choice among the pods of a pool (strategies), whether a pod can keep a promise (overload), what becomes of
a request when all pools are full (gateway.fleet, gateway.admission).

Everything that is compared is known to all replicas: requests in flight of all of them, and gauges of the engines.  So
each decides alone and all decide alike, but for the milliseconds until one knows what another has sent.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple, TypeVar

from routing.types import PodId, PodView, RouteRequest, Signal

MAX_SESSIONS = 10_000
"""Sessions of a model whose pools are remembered; beyond that the oldest come home (chosen)."""
STAY_SHARE = 0.5
"""Share of the prompt that a later pool must have cached beyond what earlier ones have, for the request to stay there
(chosen: a system prompt that all requests have keeps none of them)."""

Pod = TypeVar("Pod", bound=PodView)


class SpillRule(NamedTuple):
    """The marks of a pool."""

    max_in_flight: float = inf  # requests on one pod
    max_waiting: int = 4  # requests that wait in one engine; a few came between two of its steps
    max_kv_usage: float = 0.9  # share of its KV cache
    free_share: float = 0.75  # of these marks, below which a pool is free again
    hold_s: float = 5.0  # for which it must be free until nothing stays in later pools
    promise_share: float = 0.5  # of the promised time to the first token, from which requests go to the next pool


NO_RULE = SpillRule()


class Spill:
    """The pools of one model, by their priorities; `rules` are those of pools that have one."""

    def __init__(self, rules: Mapping[int, SpillRule]) -> None:
        self._rules = rules
        self._full: set[PodId] = set()  # pods whose gauges had reached a mark and are not free again
        self._busy_s: dict[int, float] = {}  # when a request last found the pool not free
        self._sessions: dict[str, int] = {}  # the pool of each session while requests spill, the oldest first

    def keep(self, pods: Container[PodId]) -> None:
        """Forget all pods but these."""
        self._full = {pod for pod in self._full if pod in pods}

    def with_room(self, candidates: Sequence[Pod], request: RouteRequest, now_s: float) -> Sequence[Sequence[Pod]]:
        """Return the pods with room of each pool that has any, in the order in which the pools should be tried."""
        pools: dict[int, list[Pod]] = {}
        for pod in candidates:
            pools.setdefault(pod.endpoint.pool_priority, []).append(pod)
        ranks = sorted(pools)
        room: dict[int, list[Pod]] = {}
        in_flight = 0
        for rank in reversed(ranks):  # what runs in later pools must fit into this one too before it is free
            pods, rule = pools[rank], self._rule(rank)
            shares = [gauge_share(pod, rule, now_s) for pod in pods]
            room[rank] = [pod for pod, share in zip(pods, shares, strict=True) if not self._is_full(pod, share, rule)]
            in_flight += sum([pod.in_flight for pod in pods])
            most = sum([min(rule.max_in_flight, pod.max_in_flight) for pod in pods])
            if in_flight > rule.free_share * most or min(shares) >= rule.free_share:
                self._busy_s[rank] = now_s
        stays = self._stays(ranks, pools, request, now_s)
        return [room[rank] for rank in sorted(ranks, key=lambda rank: (rank != stays, rank)) if room[rank]]

    def attempts(
        self, candidates: Sequence[Pod], request: RouteRequest, now_s: float
    ) -> Iterator[tuple[Sequence[Pod], RouteRequest]]:
        """Yield pods with room, and the request with the promise that one of them must keep, in the order to be tried.

        A pool is left before its promises are at risk; when all are that full, they are filled in the same order.
        """
        pools = self.with_room(candidates, request, now_s)
        slo = request.slo
        if slo is not None and len(pools) > 1:
            for pods in pools:
                share = self._rule(pods[0].endpoint.pool_priority).promise_share
                yield pods, request._replace(slo=slo._replace(ttft_s=share * slo.ttft_s))
        for pods in pools:
            yield pods, request

    def refused(self, rank: int, now_s: float) -> None:
        """Note that no pod of this pool could keep a promise."""
        self._busy_s[rank] = now_s

    def sent(self, rank: int, request: RouteRequest) -> None:
        """Note to which pool a request was sent."""
        if request.session:
            self._sessions.pop(request.session, None)
            self._sessions[request.session] = rank
            if len(self._sessions) > MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]

    def _is_full(self, pod: PodView, share: float, rule: SpillRule) -> bool:
        """Return whether a pod takes no more; one that was full by its gauges takes more when they have fallen."""
        pod_id = pod.endpoint.id
        if share >= (rule.free_share if pod_id in self._full else 1.0):
            self._full.add(pod_id)
            return True
        self._full.discard(pod_id)
        return pod.in_flight >= rule.max_in_flight

    def _stays(
        self, ranks: Sequence[int], pools: Mapping[int, Sequence[PodView]], request: RouteRequest, now_s: float
    ) -> int | None:
        """Return the later pool in which the request should stay; None = it goes to the first that has room."""
        if len(ranks) == 1:
            return None  # this request has no choice, and that says nothing of others
        later = [after for rank, after in pairwise(ranks) if self._is_spilling(rank, now_s)]
        if not later or later[0] != ranks[1]:
            self._sessions.clear()
            return None
        if self._sessions.get(request.session) in later:
            return self._sessions[request.session]
        if not request.blocks:
            return None
        cached = {rank: max(request.cached_tokens(pod) for pod in pools[rank]) for rank in ranks}
        best = max(later, key=lambda rank: cached[rank])
        earlier = max(cached[rank] for rank in ranks if rank < best)
        return best if cached[best] - earlier > STAY_SHARE * request.prompt_tokens else None

    def _is_spilling(self, rank: int, now_s: float) -> bool:
        return now_s - self._busy_s.get(rank, -inf) < self._rule(rank).hold_s

    def _rule(self, rank: int) -> SpillRule:
        return self._rules.get(rank, NO_RULE)


def gauge_share(pod: PodView, rule: SpillRule, now_s: float) -> float:
    """Return how far the engine's own gauges are towards the marks, the nearest: from 1 on it is full; 0 = unknown."""
    waiting, used = pod.signal(Signal.WAITING, now_s), pod.signal(Signal.KV_USAGE, now_s)
    if not waiting and not used:
        return 0.0
    return max((waiting or 0.0) / (rule.max_waiting + 1), (used or 0.0) / rule.max_kv_usage)
