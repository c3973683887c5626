"""Replaying a decision: a strategy chooses again for a recorded request, on a recorded fleet.

Lives here: building pods and request from JSON values.  Not here: the records (decisions), the choice (routing), files
and tables (forebay.cli.explaining).
The fleet is a page of /debug/fleet; the request is an entry of /debug/decisions, or written by hand: model,
prompt_tokens, and how many of these each pod holds.  Not recorded are the counters per user of vtc-basic.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gateway.discovery.probing.readings import Readings
from gateway.fleet.decisions import candidates
from gateway.fleet.pod import RAMP_S, Pod, PodState
from routing import table
from routing.mixture import Mixture
from routing.plans import Plan, Plans
from routing.pods.adapters import AdapterUse
from routing.prefix.index import Cache, Match, PrefixIndex
from routing.strategy import Strategy, Tools
from routing.types import Decision, Endpoint, Rng, RouteRequest, Signal


class IncompleteRecordError(ValueError):
    """A record lacks something that the decision needs."""


class _Cache(Cache):
    """A prefix cache that is as full as the record says."""

    chance = 1.0

    def eviction_cost(self, new_blocks: int, now_s: float) -> float:  # noqa: ARG002  the base's signature
        return max(0, min(self.held + new_blocks - self.budget, self.held)) * self.chance


def replay(
    entry: Any, pages: Any, strategy: str, rng: Rng, plan: Plan | None = None
) -> tuple[Decision, list[dict[str, object]]]:
    """Return the decision, and the page of its candidates (`decisions.candidates`), the best first.

    `entry` is the request and `pages` the fleet, as parsed JSON; `rng` breaks ties and divides by the `plan`, if any.
    Raises IncompleteRecordError and UnknownStrategyError.
    """
    plans = Plans()
    chooser = _strategy(strategy, Tools(rng, plans=plans))
    try:
        recorded_pods = {candidate["pod"] for candidate in entry.get("candidates", ())}
        recorded = entry.get("request", entry)
        block_tokens, model = recorded.get("block_tokens", 1.0), recorded["model"]
        candidate_pages = [page for page in pages if model in page["models"] and _is_candidate(page, recorded_pods)]
        pods = [_pod(page, number, block_tokens) for number, page in enumerate(candidate_pages)]
        request = _request(recorded, pods)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IncompleteRecordError(f"{type(error).__name__}: {error}") from error
    if not pods:
        raise IncompleteRecordError(f"no pod that can serve {request.model}")
    if plan is not None:
        plans.put(request.model, plan)
    decision = chooser.pick(request, pods, 0.0)
    scored = decision.scored or chooser.score(request, pods, 0.0)
    return decision, candidates(request, scored, chooser.part_names())


def _is_candidate(page: Mapping[str, Any], recorded_pods: Collection[str]) -> bool:
    """Return whether a pod was a candidate of the recorded decision or, without one, takes requests."""
    if recorded_pods:
        return page["pod"] in recorded_pods
    return page["state"] == PodState.READY and not page["ejected"]


def _strategy(name: str, tools: Tools) -> Strategy:
    parts = [(table.build(part.name, tools), part.weight) for part in table.mixture_parts(name)]
    return parts[0][0] if name in table.STRATEGIES else Mixture(name, parts, tools)


def _pod(page: Mapping[str, Any], number: int, block_tokens: float) -> Pod:
    """Return a pod in the recorded state at time 0; its cache has blocks of one token."""
    cache = _Cache(PrefixIndex(), number, int(page["cache"]["budget"] * block_tokens))
    cache.held, cache.chance = int(page["cache"]["held"] * block_tokens), page["cache"]["reuse_chance"]
    models, deployment = tuple(page["models"]), page.get("deployment", "")
    pod = Pod(Endpoint(page["pod"], page["pod"], page["address"], models, deployment=deployment), cache)
    pod.in_flight, pod.prefill_tokens = page["in_flight"], page["prefill_tokens"]
    pod.resident_tokens, pod.prefill_done_at_s = page["resident_tokens"], page["wait_s"]
    pod.speed.known = page["speed"]["known"]
    pod.speed.fixed_s, pod.speed.token_s = page["speed"]["fixed_s"], page["speed"]["token_s"]
    pod.speed.output_s = page["speed"]["output_s"]
    pod.recall(page["busy_s"], page["processed"], page["latency_s"])
    signals = {Signal(name): value for name, value in page["signals"].items() if value is not None}
    pod.apply_readings(Readings(signals, adapters=AdapterUse(frozenset(page["warm"]))), now_s=0.0, fresh_until_s=0.0)
    pod.foreign.recall(page["foreign"])
    pod.full_share_at_s = RAMP_S * (1 - 1 / page["ramp"])
    return pod


def _request(recorded: Mapping[str, Any], pods: Sequence[Pod]) -> RouteRequest:
    """Return the request with a prefix match in blocks of one token, by how many tokens each pod holds."""
    tokens_held = recorded.get("held", {})
    by_tokens: dict[int, int] = {}
    for pod in pods:
        if tokens := int(tokens_held.get(pod.endpoint.id, 0)):
            by_tokens[tokens] = by_tokens.get(tokens, 0) | pod.cache.bit
    return RouteRequest(
        recorded["model"],
        prompt_tokens=recorded["prompt_tokens"],
        output_tokens=recorded.get("output_tokens", 0),
        session=recorded.get("session", ""),
        blocks=(0,) if tokens_held else (),
        block_tokens=1.0,
        match=Match(tuple(sorted(by_tokens.items(), reverse=True))),
    )
