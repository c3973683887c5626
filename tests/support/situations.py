"""Situations of a fleet of four unequal pods, made by requests that were sent and have ended, and by what engines say.

In each, one strategy has a right answer by its published meaning.  Not here: asking it.
"""

import random
from collections.abc import Sequence

from gateway.config.settings import RoutingSettings
from gateway.discovery.probing.readings import Readings
from gateway.fleet.fleet import Fleet
from gateway.fleet.hints import plan_of
from gateway.fleet.ticket import Ticket
from routing.selectors import parse_selector
from routing.strategy import Finished
from routing.types import RouteRequest, Signal
from tests.support.pods import MODEL, a_description, an_endpoint
from traffic.hint import Hint

NOW_S = 100.0
PODS = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
"""How many times as long each takes."""
PROMPT = tuple(range(1, 11))
"""Blocks of 100 tokens."""


class Situation:
    """A fleet to act on; requests go to the pods that the test names."""

    def __init__(self, seed: int = 1) -> None:
        self.fleet = Fleet(RoutingSettings(), random.Random(seed))
        pods = [
            an_endpoint(name, address=f"10.0.0.{n}:1", gpu_type=name, deployment=name, labels={"pod": name})
            for n, name in enumerate(PODS)
        ]
        self.fleet.replace(a_description(*pods))
        self.request = RouteRequest(MODEL, user="u", prompt_tokens=1000, output_tokens=10)

    def send(
        self,
        pod: str,
        tokens: int = 1000,
        output: int = 10,
        *,
        blocks: Sequence[int] = (),
        user: str = "u",
        at_s: float = NOW_S,
    ) -> Ticket:
        """A request that is in flight from now on."""
        request = RouteRequest(
            MODEL, user, tokens, output, selector=parse_selector(f"pod={pod}"), blocks=blocks, block_tokens=100.0
        )
        return self.fleet.route(request, "random", at_s)

    def served(self, pod: str, tokens: int = 1000, output: int = 10, slower: float = 1.0, **sent: object) -> None:
        """A request that has ended, after a millisecond for each token in and ten for each out, on the fastest pod."""
        ticket = self.send(pod, tokens, output, **sent)  # type: ignore[arg-type]  # as it came
        self.fleet.release(ticket, NOW_S)
        took_s = PODS[pod] * slower * (tokens + 10 * output) / 1000
        ended = Finished(ticket.pod.endpoint.id, ticket.request, NOW_S, False, took_s, None, tokens, output)
        self.fleet.finish(ticket, ended)

    def planned(self, pod: str) -> None:
        """Have the optimizer plan all requests for the deployment of a pod, which is its only one."""
        hint = Hint(1, 0.0, (10.0,), (1000.0,), {pod: 1}, (({pod: 1.0},),), ({pod: 1.0},), {pod: ((5.0,),)})
        self.fleet.plans.put(MODEL, plan_of(hint, NOW_S + 9))

    def says(self, pod: str, **signals: float) -> None:
        """Set the engine's metrics."""
        known = {Signal(name): value for name, value in signals.items()}
        self.fleet.apply_readings(pod, Readings(known), now_s=NOW_S, fresh_until_s=NOW_S + 9)

    def picks(self, strategy: str, count: int = 60) -> set[str]:
        """Return the pods chosen for so many requests, each of which is taken back before the next."""
        chosen = set()
        for _ in range(count):
            ticket = self.fleet.route(self.request, strategy, NOW_S)
            self.fleet.withdraw(ticket, NOW_S)
            chosen.add(ticket.decision.pod.id)
        return chosen
