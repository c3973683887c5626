"""Baselines for strategies: round robin, and the token reuse that no routing can exceed.

Lives here: baselines that the gateway does not offer.  Not here: the gateway's strategies (routing).
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count
from typing import ClassVar

from routing import table
from routing.strategy import Finished, Strategy, Tools
from routing.types import Candidates, Decision, RouteRequest, Scored, Signal
from simulator.replay.traces import TraceRequest, block_hashes, unknown_blocks


class RoundRobin:
    """Takes one pod after the other."""

    name: ClassVar[str] = "round-robin"
    needs: ClassVar[frozenset[Signal]] = frozenset()
    counts_users: ClassVar[bool] = False

    def __init__(self) -> None:
        self._turns = count()

    def score(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Scored:  # noqa: ARG002  the seam's signature
        """Return the same score for all candidates."""
        return Scored(candidates, [0.0] * len(candidates))

    def part_names(self) -> tuple[str, ...]:
        """Return no names: its scores have no parts."""
        return ()

    def observe(self, event: Finished) -> None:
        """Learn nothing."""

    def serve(self, user: str, tokens: float, now_s: float) -> None:
        """Learn nothing."""

    def pick(self, request: RouteRequest, candidates: Candidates, now_s: float) -> Decision:  # noqa: ARG002  the seam's signature
        """Return the next candidate, without fallbacks, because no connection fails in a replay."""
        turn = next(self._turns)
        return Decision(candidates[turn % len(candidates)].endpoint, f"turn {turn}", self.name)


def check(name: str) -> None:
    """Raise UnknownStrategyError unless `build` knows the name."""
    if name != RoundRobin.name:
        table.validated(name)


def build(name: str, tools: Tools) -> Strategy:
    """Return a new strategy of the gateway's table or of this module.  Raises UnknownStrategyError."""
    return RoundRobin() if name == RoundRobin.name else table.build(name, tools)


def reuse(trace: Iterable[TraceRequest], block_tokens: int, blocks: int | None) -> float:
    """Return the share of prompt tokens found in one LRU cache of `blocks` (None = unlimited), requests one by one.

    As in the engine a prompt's tail is evicted before its head, outputs occupy blocks, and at least one token of a
    prompt is computed.
    """
    cache: OrderedDict[int, None] = OrderedDict()
    hits = tokens = 0
    for serial, request in enumerate(trace):
        prompt = block_hashes(request, block_tokens)
        cacheable = (request.input_length - 1) // block_tokens
        hits += next(
            (index for index, block in enumerate(prompt[:cacheable]) if block not in cache), min(cacheable, len(prompt))
        )
        tokens += request.input_length
        held = -(-(request.input_length + request.output_length) // block_tokens)
        for block in reversed([*prompt, *unknown_blocks(serial, held - len(prompt))]):
            cache[block] = None
            cache.move_to_end(block)
        while blocks is not None and len(cache) > blocks:
            cache.popitem(last=False)
    return hits * block_tokens / tokens if tokens else 0.0
