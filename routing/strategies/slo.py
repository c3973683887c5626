"""Strategies by the optimizer's plan: the deployment that it chose for the request's size, and a pod of it.

Lives here: which deployment, and when another one: it has no candidate, or all its pods are full.  Not here: plans and
how requests are divided by them (routing.plans), which pod of a deployment (the strategies that are passed in).

A pod is full when this request's first token would come too late for the plan's SLO, because earlier prompts are before
it; or when more is in flight than its planned throughput explains (`plans.is_over`).  By Little's law a pod that serves
`throughput` requests per second, each for so many seconds, has their product in flight.  How long one lasts is learned
(routing.pods.speed), but counts no more than the SLO allows.  Requests of all sizes count by their tokens.
"""

from collections.abc import Sequence
from math import inf
from operator import attrgetter
from typing import ClassVar, NamedTuple

from routing.plans import Cell, Plan, Plans, Points, Weights, chosen, is_over
from routing.scoring import Scoring, normalised
from routing.strategy import Tools
from routing.types import AND, Candidates, Decision, Endpoint, PodView, RouteRequest, Scored

NO_PLAN = "no-plan"
"""There is no hint for the model, or only an expired one without throughputs: the default strategy chooses."""
PLAN_EXPIRED = "plan-expired"
"""The hint is too old: deployments get requests in proportion to their pods and throughput."""
NO_POD_PLANNED = "no-pod-planned"
"""The plan names none of the candidates' deployments: the default strategy chooses."""
SIZE_UNPLANNED = "size-unplanned"
"""The plan gives no deployment such requests: those that can serve them get them as with PLAN_EXPIRED."""
SIZE_UNSERVED = "size-unserved"
"""No candidate's deployment can serve such requests, as far as is known: the default strategy chooses."""
DEPLOYMENT_AWAY = "deployment-away"
"""The deployment that should serve the request has no candidate: the others of the plan do."""
DEPLOYMENT_FULL = "deployment-full"
"""All its pods are full: the next deployment that has room does."""

_IN_FLIGHT = attrgetter("in_flight")

MAX_LABEL = 64
"""Characters of a deployment that a reason names at most."""
WITHIN = 0.5
"""Width of the scores within a deployment, when the next one is 1 away (chosen: in mixtures both must count).  Such a
score x becomes x / (1 + x), so that the first deployment is as far before the second however many there are."""

Groups = dict[str, list[PodView]]
"""Candidates by deployment."""


class Asked(NamedTuple):
    """A request at the time of its pick, and what the plan says of its size."""

    request: RouteRequest
    plan: Plan
    cell: Cell
    now_s: float

    def is_full(self, pod: PodView) -> bool:
        """Whether the request should rather go elsewhere."""
        return self.is_late(pod) or is_over(self.like_it(pod), self.carried(pod))

    def fits(self, pod: PodView) -> bool:
        """Whether the pod is known to carry one more request like this."""
        carried = self.carried(pod)
        return carried < inf and self.like_it(pod) + 1 <= carried and not self.is_late(pod)

    def is_late(self, pod: PodView) -> bool:
        """Whether earlier prompts make the first token too late for the plan's SLO."""
        wait_s = pod.prefill_done_at_s - self.now_s
        if wait_s <= 0:
            return False
        return wait_s + pod.speed.prefill_s(self.request.uncached_tokens(pod)) > self.plan.targets.ttft_s

    def like_it(self, pod: PodView) -> float:
        """Return how many requests like this one have as many tokens as all that are in flight on the pod."""
        return pod.resident_tokens / max(1, self.request.prompt_tokens + self.request.output_tokens)

    def carried(self, pod: PodView) -> float:
        """Return how many requests like this one the pod has in flight at its planned rate; infinity = not known."""
        request = self.request
        rate = self.cell.rates.get(pod.endpoint.deployment, 0.0)
        if not (rate and request.output_tokens):
            return inf
        lasts_s = self.plan.targets.longest_s(request.output_tokens)
        speed = pod.speed
        if speed.known:
            learned_s = speed.fixed_s + speed.token_s * request.prompt_tokens + speed.output_s * request.output_tokens
            lasts_s = min(lasts_s, learned_s)
        return rate * lasts_s


class Choice(NamedTuple):
    """The candidates in groups, the best first, and what chooses within them."""

    tiers: Sequence[Sequence[PodView]]
    strategy: Scoring
    note: str = ""
    fallback: str = ""


class Slo(Scoring):
    """Chooses the deployment by the plan, and within it the pod that the default strategy chooses."""

    name: ClassVar[str] = "slo"

    def __init__(self, tools: Tools, default: Scoring, inner: Scoring | None = None) -> None:
        super().__init__(tools)
        self._default, self._inner = default, inner or default
        self._plans = tools.plans or Plans()
        self._points = Points(tools.rng)
        self._drawn: RouteRequest | None = None  # the request that `_point` is for
        self._point = 0.0
        self._grouped: dict[str, tuple[Candidates, Groups]] = {}

    def part_names(self) -> tuple[str, ...]:
        """Return the names of the default strategy's parts; other scores within a deployment have none."""
        return self._default.part_names()

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:
        """Return a pod of the deployment; the fallbacks are its next best pods, then those of other deployments."""
        choice = self._choose(request, candidates, now_s)
        decision = choice.strategy.pick(request, choice.tiers[0], now_s)
        reason, fallback, fallbacks = f"{choice.note}{decision.reason}", decision.fallback, decision.fallbacks
        if choice.fallback:
            reason += f"{AND if fallback else ', fallback='}{choice.fallback}"
            fallback = f"{fallback}{AND}{choice.fallback}" if fallback else choice.fallback
        wanted = self._wanted - 1 - len(fallbacks)
        if wanted > 0:
            fallbacks += _least_loaded(choice.tiers[1:], wanted)
        return Decision(decision.pod, reason, self.name, fallbacks, fallback, decision.scored)

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:
        """Return a score for each candidate, for mixtures: the place of its deployment, and its place within it."""
        choice = self._choose(request, candidates, now_s)
        pods: list[PodView] = []
        scores: list[float] = []
        fallbacks = {choice.fallback: None}
        for place, tier in enumerate(choice.tiers):
            scored = choice.strategy.score(request, tier, now_s)
            pods += scored.pods
            scores += [1 - 1 / (1 + place + WITHIN * score) for score in normalised(scored.scores)]
            fallbacks[scored.fallback] = None
        return Scored(pods, scores, fallback=AND.join([fallback for fallback in fallbacks if fallback]))

    def _choose(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Choice:
        """Return the deployments in the order in which they should serve the request."""
        found = self._plans.of(request.model, candidates[0].endpoint.models[0])
        if found is None or not (now_s < found[0].expires_s or found[0].has_rates):
            return Choice([candidates], self._default, fallback=NO_PLAN)
        plan, split = found
        groups = self._groups(request.model, candidates)
        asked = Asked(request, plan, plan.cell(request.prompt_tokens, request.output_tokens), now_s)
        capable = [name for name in asked.cell.capable if name in groups]
        unknown = [name for name in groups if name not in plan.known]
        if not capable:
            return self._without_plan(groups, unknown)
        is_new = request is not self._drawn
        if is_new:  # a request that is looked at again, among fewer candidates, keeps its point
            self._drawn, self._point = request, self._points.next(request.model, asked.cell.number)
        first, fallback = self._first(asked, groups, capable)
        order = [first, *[name for name in capable if name != first], *unknown]
        with_room = _with_room(asked, order, groups)
        if with_room != first:
            order = [with_room, *[name for name in order if name != with_room]]
            fallback = f"{fallback}{AND}{DEPLOYMENT_FULL}" if fallback else DEPLOYMENT_FULL
        if is_new:
            split.count(asked.cell.shares, with_room)
        order += [name for name in groups if name not in order]
        note = f"plan {plan.version}: {_label(with_room)}, "
        return self._within(asked, [groups[name] for name in order], note, fallback)

    def _groups(self, model: str, candidates: Candidates) -> Groups:
        """Return the candidates by deployment; the fleet passes the same tuple until its pods change."""
        known = self._grouped.get(model)
        if known is not None and known[0] is candidates:
            return known[1]
        groups: Groups = {}
        for pod in candidates:
            groups.setdefault(pod.endpoint.deployment, []).append(pod)
        self._grouped[model] = (candidates, groups)
        return groups

    def _without_plan(self, groups: Groups, unknown: Sequence[str]) -> Choice:
        """Return what to do where no deployment is known to serve such requests: pods that the plan does not know may.

        Those of which it says that they cannot are the last resort.
        """
        rest = [pod for name, group in groups.items() if name not in unknown for pod in group]
        tiers = [[pod for name in unknown for pod in groups[name]], rest]
        fallback = SIZE_UNSERVED if rest else NO_POD_PLANNED
        return Choice([tier for tier in tiers if tier], self._default, fallback=fallback)

    def _first(self, asked: Asked, groups: Groups, capable: Sequence[str]) -> tuple[str, str]:
        """Return the deployment that should serve the request, and what stood in for the plan's share."""
        point, plan, shares = self._point, asked.plan, asked.cell.shares
        if asked.now_s >= plan.expires_s:
            return chosen(_by_throughput(capable, groups, asked.cell), point)[0], PLAN_EXPIRED
        fallback = SIZE_UNPLANNED
        if shares:
            name, point = chosen(shares, point)
            if name in groups:
                return name, ""
            fallback = DEPLOYMENT_AWAY
        weights: Weights = [(name, share) for name, share in shares if name in groups]
        if not weights:
            planned = [name for name in capable if plan.replicas.get(name)]
            weights = _by_throughput(planned or capable, groups, asked.cell)
        return chosen(weights, point)[0], fallback

    def _within(self, asked: Asked, tiers: Sequence[Sequence[PodView]], note: str, fallback: str) -> Choice:  # noqa: ARG002  for those that derive
        """Return how a pod of the first deployment is chosen."""
        return Choice(tiers, self._inner, note, fallback)


class SloLeastLoad(Slo):
    """Chooses the deployment by the plan, and within it the pod with the fewest tokens in flight."""

    name: ClassVar[str] = "slo-least-load"


class SloPackLoad(Slo):
    """Chooses the deployment by the plan, and within it the fullest pod that still has room by its throughput.

    Where none has room, or it is not known how much, it is the pod with the fewest tokens in flight.
    """

    name: ClassVar[str] = "slo-pack-load"

    def __init__(self, tools: Tools, default: Scoring, inner: Scoring) -> None:
        super().__init__(tools, default, inner)
        self._fullest = Fullest(tools)

    def _within(self, asked: Asked, tiers: Sequence[Sequence[PodView]], note: str, fallback: str) -> Choice:
        fitting: list[PodView] = []
        rest: list[PodView] = []
        for pod in tiers[0]:
            (fitting if asked.fits(pod) else rest).append(pod)
        if not fitting:
            return Choice(tiers, self._inner, note, fallback)
        return Choice([fitting, *([rest] if rest else []), *tiers[1:]], self._fullest, note, fallback)


class Fullest(Scoring):
    """Chooses the pod with the most tokens in flight."""

    name: ClassVar[str] = "fullest"
    unit: ClassVar[str] = "tokens of room used"

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002, D102  the base says it
        return Scored(candidates, [-(pod.prefill_tokens + pod.resident_tokens) for pod in candidates])


def _with_room(asked: Asked, order: Sequence[str], groups: Groups) -> str:
    """Return the first deployment with a pod that is not full; if all are full the first one."""
    for name in order:
        for pod in groups[name]:
            if not asked.is_full(pod):
                return name
    return order[0]


def _by_throughput(names: Sequence[str], groups: Groups, cell: Cell) -> Weights:
    """Return the deployments weighted by what their pods carry together; by their pods where that is not told."""
    return [(name, len(groups[name]) * (cell.rates.get(name) or 1.0)) for name in names]


def _least_loaded(tiers: Sequence[Sequence[PodView]], wanted: int) -> tuple[Endpoint, ...]:
    """Return so many pods of these groups, in their order, within each those with the fewest requests in flight."""
    found: list[Endpoint] = []
    for tier in tiers:
        if len(found) < wanted:
            by_load = sorted(tier, key=_IN_FLIGHT)
            found += [pod.endpoint for pod in by_load[: wanted - len(found)]]
    return tuple(found)


def _label(deployment: str) -> str:
    """Return how a reason, which becomes a header, names a deployment."""
    if not deployment:
        return "no deployment"
    plain = deployment.isascii() and deployment.isprintable()
    return (deployment if plain else ascii(deployment))[:MAX_LABEL]
