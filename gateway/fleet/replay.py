"""A decision replayed: a request put to a strategy again, on a fleet as it was written down.

Lives here: pods and request from JSON values.  Not here: what is written down (decisions), deciding (routing), files
and tables (forebay.cli.explaining). The fleet is a page of /debug/fleet, the request an entry of /debug/decisions or
made up: model, prompt_tokens, and how many of these each pod holds.  What only a worker's memory knows is not in them:
the users' counters of vtc-basic.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gateway.discovery.probing.readings import Readings
from gateway.fleet.decisions import candidates
from gateway.fleet.pod import RAMP_S, Pod, PodState
from routing import table
from routing.mixture import Mixture
from routing.prefix.index import Cache, Match, PrefixIndex
from routing.strategy import Strategy, Tools
from routing.types import Decision, Endpoint, Rng, RouteRequest, Signal


class IncompleteRecordError(ValueError):
    """What was written down lacks something that the decision needs."""


class _Cache(Cache):
    """A prefix cache that is as full as was written down."""

    chance = 1.0

    def eviction_cost(self, new_blocks: int, now_s: float) -> float:  # noqa: ARG002  the base's signature
        return max(0, min(self.held + new_blocks - self.budget, self.held)) * self.chance


def replay(entry: Any, pages: Any, strategy: str, rng: Rng) -> tuple[Decision, list[dict[str, object]]]:
    """Return the decision, and what the strategy thinks of each candidate, the best first.

    `entry` is the request and `pages` the fleet, as parsed JSON; `rng` breaks ties.
    Raises IncompleteRecordError and UnknownStrategyError.
    """
    chooser = _strategy(strategy, Tools(rng))
    try:
        chosen_from = {candidate["pod"] for candidate in entry.get("candidates", ())}
        asked = entry.get("request", entry)
        block = asked.get("block_tokens", 1.0)
        shown = [page for page in pages if asked["model"] in page["models"] and _is_candidate(page, chosen_from)]
        pods = [_pod(page, slot, block) for slot, page in enumerate(shown)]
        request = _request(asked, pods)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IncompleteRecordError(f"{type(error).__name__}: {error}") from error
    if not pods:
        raise IncompleteRecordError(f"no pod that can serve {request.model}")
    decision = chooser.pick(request, pods, 0.0)
    scored = decision.scored or chooser.score(request, pods, 0.0)
    return decision, candidates(request, scored, chooser.part_names())


def _is_candidate(page: Mapping[str, Any], chosen_from: Collection[str]) -> bool:
    """Whether the page is of a candidate of the decision, or, without a decision, of a pod that takes requests."""
    if chosen_from:
        return page["pod"] in chosen_from
    return page["state"] == PodState.READY and not page["ejected"]


def _strategy(name: str, tools: Tools) -> Strategy:
    parts = [(table.build(share.name, tools), share.weight) for share in table.shares(name)]
    return parts[0][0] if name in table.STRATEGIES else Mixture(name, parts, tools)


def _pod(page: Mapping[str, Any], slot: int, block_tokens: float) -> Pod:
    """Return a pod at time 0 that is as the page says, its cache counted in tokens."""
    cache = _Cache(PrefixIndex(), slot, int(page["cache"]["budget"] * block_tokens))
    cache.held, cache.chance = int(page["cache"]["held"] * block_tokens), page["cache"]["reuse_chance"]
    pod = Pod(Endpoint(page["pod"], page["pod"], page["address"], tuple(page["models"])), cache)
    pod.in_flight, pod.prefill_tokens = page["in_flight"], page["prefill_tokens"]
    pod.resident_tokens, pod.prefill_done_at_s = page["resident_tokens"], page["wait_s"]
    pod.speed.known = page["speed"]["known"]
    pod.speed.fixed_s, pod.speed.token_s = page["speed"]["fixed_s"], page["speed"]["token_s"]
    pod.speed.output_s = page["speed"]["output_s"]
    pod.recall(page["busy_s"], page["processed"], page["latency_s"])
    signals = {Signal(name): value for name, value in page["signals"].items() if value is not None}
    pod.apply_readings(Readings(signals, adapters=frozenset(page["warm"])), now_s=0.0, fresh_until_s=0.0)
    pod.ramped_s = RAMP_S * (1 - 1 / page["ramp"])
    return pod


def _request(asked: Mapping[str, Any], pods: Sequence[Pod]) -> RouteRequest:
    """Return the request with a match of one token per block, which says how many tokens each pod holds."""
    held = asked.get("held", {})
    by_tokens: dict[int, int] = {}
    for pod in pods:
        if tokens := int(held.get(pod.endpoint.id, 0)):
            by_tokens[tokens] = by_tokens.get(tokens, 0) | pod.cache.bit
    return RouteRequest(
        asked["model"],
        prompt_tokens=asked["prompt_tokens"],
        output_tokens=asked.get("output_tokens", 0),
        session=asked.get("session", ""),
        blocks=(0,) if held else (),
        block_tokens=1.0,
        match=Match(tuple(sorted(by_tokens.items(), reverse=True))),
    )
