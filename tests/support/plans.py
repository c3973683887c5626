"""Plans and pods of two deployments, and many requests that a strategy divides between them."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from gateway.fleet.hints import plan_of
from gateway.fleet.pod import Pod
from routing.plans import Plans
from routing.prefix.index import PrefixIndex
from routing.strategy import Strategy, Tools
from routing.table import build
from routing.types import Decision, RouteRequest
from tests.support.hints import a_hint
from tests.support.pods import MODEL, a_pod
from traffic.hint import Hint

SHORT, MIDDLE, LONG = 256, 1024, 4096
"""Input tokens of the cells of `a_hint`."""


def plans(hint: Hint | None = None, expires_s: float = inf) -> Plans:
    """The plan of MODEL."""
    made = Plans()
    made.put(MODEL, plan_of(hint or a_hint(), expires_s))
    return made


def pods_of(**counts: int) -> list[Pod]:
    """So many pods of each deployment, `l20-0` and so on; those of `none` have no deployment."""
    index = PrefixIndex()
    return [
        a_pod(f"{name}-{number}", index=index, deployment="" if name == "none" else name)
        for name, count in counts.items()
        for number in range(count)
    ]


def by_plan(name: str = "slo", hint: Hint | None = None, seed: int = 1, expires_s: float = inf) -> Strategy:
    """A strategy that follows a plan."""
    return build(name, Tools(random.Random(seed), plans=plans(hint, expires_s)))


def asking(input_tokens: int, output_tokens: int = 32, **fields: Any) -> RouteRequest:
    return RouteRequest(MODEL, prompt_tokens=input_tokens, output_tokens=output_tokens, **fields)


def decisions(strategy: Strategy, pods: Sequence[Pod], sizes: Sequence[tuple[int, int]]) -> list[Decision]:
    """Decisions for requests of these input and output tokens, which end before the next one comes."""
    return [strategy.pick(asking(*size), pods, 0.0) for size in sizes]


def split(made: Sequence[Decision]) -> Mapping[str, float]:
    """The share of each deployment."""
    counts = Counter(decision.pod.deployment for decision in made)
    return {name: count / len(made) for name, count in counts.items()}
