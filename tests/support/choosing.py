"""Strategies on fleets of unequal pods: which pods are picked, over many seeds, so that chance shows.

Lives here: running the picks.  Not here: pods (pods).
"""

import random
from collections.abc import Sequence

from gateway.fleet.pod import Pod
from routing.strategy import Tools
from routing.table import build
from routing.types import Decision, RouteRequest
from tests.support.pods import MODEL

REQUEST = RouteRequest(MODEL, user="u", prompt_tokens=1000, output_tokens=100)


def decided(
    name: str, pods: Sequence[Pod], request: RouteRequest = REQUEST, now_s: float = 0.0, seed: int = 1
) -> Decision:
    """One pick of a new strategy."""
    return build(name, Tools(random.Random(seed))).pick(request, pods, now_s)


def picked(name: str, pods: Sequence[Pod], request: RouteRequest = REQUEST, now_s: float = 0.0) -> set[str]:
    """The pods that 30 seeds pick."""
    return {decided(name, pods, request, now_s, seed).pod.id for seed in range(30)}


def asking_for(pods: Sequence[Pod], blocks: Sequence[int], block_tokens: float = 100.0) -> RouteRequest:
    """A request for a prompt of these blocks, matched against what the pods hold."""
    match = pods[0].cache.index.match(blocks)
    return REQUEST._replace(blocks=blocks, block_tokens=block_tokens, prompt_tokens=1000, match=match)
