"""`forebay explain`: a request put to a strategy again, on a fleet as it was written down.

Lives here: files to pods and back to a table.  Not here: what is written down (decisions), deciding (routing).
The fleet is a page of /debug/fleet, the request an entry of /debug/decisions or made up: model, prompt_tokens, and how
many of these each pod holds.  What only a worker's memory knows is not in them: the users' counters of vtc-basic.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway.discovery.probing.readings import Readings
from gateway.fleet.decisions import candidates
from gateway.fleet.pod import RAMP_S, Pod, PodState
from routing import table
from routing.mixture import Mixture
from routing.prefix.index import Cache, Match, PrefixIndex
from routing.strategy import Strategy, Tools
from routing.types import Endpoint, RouteRequest, Signal


class InvalidExplanationError(ValueError):
    """A file does not say what is needed."""


class _Cache(Cache):
    """As full as is written down."""

    chance = 1.0

    def eviction_cost(self, new_blocks: int, now_s: float) -> float:  # noqa: ARG002  the base's signature
        return max(0, min(self.held + new_blocks - self.budget, self.held)) * self.chance


def explain(request_file: Path, fleet_file: Path, strategy: str, seed: int = 0) -> str:
    """Return the table and what is chosen.  Raises InvalidExplanationError, UnknownStrategyError and OSError."""
    chooser = _strategy(strategy, Tools(random.Random(seed)))  # noqa: S311  breaks ties
    told, pages = _read(request_file), _read(fleet_file)
    try:
        chosen_from = {candidate["pod"] for candidate in told.get("candidates", ())}
        told = told.get("request", told)
        block = told.get("block_tokens", 1.0)
        asked = [page for page in pages if told["model"] in page["models"] and _is_asked(page, chosen_from)]
        pods = [_pod(page, slot, block) for slot, page in enumerate(asked)]
        request = _request(told, pods)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidExplanationError(f"{type(error).__name__}: {error}") from error
    if not pods:
        raise InvalidExplanationError(f"no pod that can serve {request.model}")
    decision = chooser.pick(request, pods, 0.0)
    scored = decision.scored or chooser.score(request, pods, 0.0)
    chosen = f"{decision.strategy} chooses {decision.pod.id}: {decision.reason}"
    return "\n".join([*_table(candidates(request, scored, chooser.part_names())), chosen])


def _is_asked(page: Mapping[str, Any], chosen_from: Collection[str]) -> bool:
    """A candidate of the decision, where there was one; else a pod that takes requests."""
    if chosen_from:
        return page["pod"] in chosen_from
    return page["state"] == PodState.READY and not page["ejected"]


def _read(file: Path) -> Any:
    try:
        return orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InvalidExplanationError(f"{file}: {error}") from None


def _strategy(name: str, tools: Tools) -> Strategy:
    parts = [(table.build(part.name, tools), part.weight) for part in table.mixture_parts(name)]
    return parts[0][0] if name in table.STRATEGIES else Mixture(name, parts, tools)


def _pod(page: Mapping[str, Any], slot: int, block_tokens: float) -> Pod:
    """A pod at time 0 that is as the page says, its cache in tokens."""
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
    pod.read(Readings(signals, adapters=frozenset(page["warm"])), now_s=0.0, fresh_until_s=0.0)
    pod.full_share_at_s = RAMP_S * (1 - 1 / page["ramp"])
    return pod


def _request(told: Mapping[str, Any], pods: Sequence[Pod]) -> RouteRequest:
    """A match of one token per block says exactly how many tokens each pod holds."""
    held = told.get("held", {})
    by_tokens: dict[int, int] = {}
    for pod in pods:
        if tokens := int(held.get(pod.endpoint.id, 0)):
            by_tokens[tokens] = by_tokens.get(tokens, 0) | pod.cache.bit
    return RouteRequest(
        told["model"],
        prompt_tokens=told["prompt_tokens"],
        output_tokens=told.get("output_tokens", 0),
        session=told.get("session", ""),
        blocks=(0,) if held else (),
        block_tokens=1.0,
        match=Match(tuple(sorted(by_tokens.items(), reverse=True))),
    )


def _table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    cells = [list(rows[0]), *[[_text(value) for value in row.values()] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
