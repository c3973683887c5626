"""Replicas that tell each other what they do: whatever is lost, late or gone, counts are exact and end at zero."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from gateway.fleet.ticket import Ticket
from gateway.sharing.messages import Share
from routing.pods.load import NONE_IN_FLIGHT, InFlight
from routing.strategy import Finished
from routing.table import STRATEGIES
from routing.types import RouteRequest
from tests.support.pods import MODEL, a_description, an_endpoint
from tests.support.replicas import Replica, acquainted, exchange, heartbeat, sent

PODS = "abc"
REPLICAS = "xyz"
WHOLE = RouteRequest(MODEL, "u", 100, 7, block_tokens=30.0, first_block_missing_tokens=3.0)
REQUEST = RouteRequest(MODEL, "u", 100, 7, blocks=(1, 2), block_tokens=30.3, first_block_missing_tokens=3.3)

replicas = st.sampled_from(REPLICAS)
others = st.tuples(replicas, replicas).filter(lambda pair: pair[0] != pair[1])


class Sharing(RuleBasedStateMachine):
    """The oracle: each replica's open requests, and the last that each heard of each other's loads."""

    tickets = Bundle("tickets")
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.replicas = {name: Replica(name, *PODS) for name in REPLICAS}
        self.now_s = 0.0
        self.open: dict[str, set[Ticket]] = {name: set() for name in REPLICAS}
        self.heard: dict[tuple[str, str], dict[str, InFlight]] = defaultdict(dict)  # (by, of) -> pod -> load
        self.serials: dict[tuple[str, str], int] = {}
        self.serial = 0

    @initialize()
    def meet(self) -> None:
        acquainted(*self.replicas.values())

    @rule(target=tickets, name=replicas, prompt=st.sampled_from([(), (1,), (1, 2), (1, 2, 3), (4,)]))
    def start(self, name: str, prompt: tuple[int, ...]) -> tuple[str, Ticket]:
        request = REQUEST._replace(blocks=prompt, prompt_tokens=33 + 30 * len(prompt), sequences=1 + len(prompt))
        ticket = self.replicas[name].fleet.route(request, "least-request", self.now_s)
        self.open[name].add(ticket)
        return name, ticket

    @rule(sent=consumes(tickets), failed=st.booleans(), computed=st.booleans(), elsewhere=st.booleans())
    def end(self, sent: tuple[str, Ticket], failed: bool, computed: bool, elsewhere: bool) -> None:
        name, ticket = sent
        fleet = self.replicas[name].fleet
        assert fleet.release(ticket, self.now_s)
        pod = "a" if elsewhere else ticket.pod.endpoint.id
        fleet.finish(ticket, Finished(pod, ticket.request, self.now_s, failed, 0.5, None, 50, 9, computed=computed))
        self.open[name].discard(ticket)

    @rule(sent=consumes(tickets))
    def withdraw(self, sent: tuple[str, Ticket]) -> None:
        name, ticket = sent
        self.replicas[name].fleet.withdraw(ticket, self.now_s)
        self.open[name].discard(ticket)

    @rule(seconds=st.floats(0.0, 3.0))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(target=messages, name=replicas)
    def tell(self, name: str) -> tuple[int, Share]:
        self.serial += 1
        return self.serial, self.replicas[name].take(self.now_s) or heartbeat(name)

    @rule(target=messages, name=replicas)
    def tell_everything(self, name: str) -> tuple[int, Share]:
        self.serial += 1
        return self.serial, sent(self.replicas[name].outbox.everything(self.now_s))

    @rule(message=messages, by=replicas)
    def hear(self, message: tuple[int, Share], by: str) -> None:
        """Messages may be lost, and those that come late or twice are not passed on (gateway.sharing.replicas)."""
        serial, share = message
        if share.replica == by or serial <= self.serials.get((by, share.replica), 0):
            return
        self.serials[by, share.replica] = serial
        heard = self.heard[by, share.replica]
        if share.everything:
            heard.clear()
        heard.update({load.pod: InFlight(*load[1:7]) for load in share.loads})
        self.replicas[by].hear(share, self.now_s)

    @rule(pair=others)
    def forget(self, pair: tuple[str, str]) -> None:
        by, of = pair
        self.replicas[by].fleet.forget(of, self.now_s)
        self.heard[pair].clear()

    @rule(name=replicas, pods=st.lists(st.sampled_from(PODS), min_size=1, unique=True), since=st.sampled_from([1, 2]))
    def replace_pods(self, name: str, pods: list[str], since: float) -> None:
        endpoints = [an_endpoint(pod, started_at=since if pod == "b" else None) for pod in pods]
        self.replicas[name].fleet.replace(a_description(*endpoints), self.now_s)

    @invariant()
    def what_others_have_is_what_they_told_last(self) -> None:
        for by, replica in self.replicas.items():
            for pod in replica.fleet.pods():
                loads = [self.heard[by, of].get(pod.endpoint.id, NONE_IN_FLIGHT) for of in REPLICAS]
                expected = NONE_IN_FLIGHT if pod.gone else InFlight(*map(sum, zip(*loads, strict=True)))
                assert expected == pod.elsewhere

    @invariant()
    def totals_are_our_own_and_theirs(self) -> None:
        for name, replica in self.replicas.items():
            for pod in replica.fleet.pods():
                works = [ticket.work for ticket in self.open[name] if ticket.pod is pod]
                others = pod.elsewhere
                assert pod.in_flight == len(works) + others.requests
                assert pod.output_tokens == sum(w.output_tokens for w in works) + others.output_tokens
                resident = sum(w.prompt_tokens + w.output_tokens for w in works)
                assert (
                    pod.sequences
                    == sum(1 + w.extra_sequences for w in works) + others.requests + others.extra_sequences
                )
                assert pod.resident_tokens == resident + others.resident_tokens
                uncached = sum(w.uncached_tokens for w in works)
                assert pod.prefill_tokens == pytest.approx(uncached + others.prefill_tokens)
                assert works or pod.prefill_tokens == others.prefill_tokens  # exactly
                assert len(works) == pod.own.requests

    @invariant()
    def nothing_is_negative_and_every_cache_is_sound(self) -> None:
        for replica in self.replicas.values():
            for pod in replica.fleet.pods():
                assert min(*pod.elsewhere, *pod.own, pod.prefill_backlog_s(self.now_s), pod.busy_s(self.now_s)) >= 0
                assert 0 <= pod.cache.held <= pod.cache.entries

    def teardown(self) -> None:
        """All requests end, and all is told: nothing is left anywhere."""
        for name, tickets in self.open.items():
            for ticket in tickets:
                self.replicas[name].fleet.release(ticket, self.now_s)
        for replica in self.replicas.values():
            share = replica.outbox.everything(self.now_s)
            for other in self.replicas.values():
                if other is not replica:
                    other.hear(sent(share), self.now_s)
        for replica in self.replicas.values():
            for pod in replica.fleet.pods():
                counts = pod.in_flight, pod.prefill_tokens, pod.output_tokens, pod.resident_tokens
                assert ((0, 0.0, 0, 0), 0.0) == (counts, pod.prefill_backlog_s(self.now_s))
                assert pod.prefill_done_at_s <= self.now_s
                pod.cache.clear()
            assert 0 == replica.fleet._index.blocks
            told = [load for loads in replica.fleet._siblings._loads.values() for load in loads.values()]
            assert all(NONE_IN_FLIGHT == load._replace(sent=0) for load in told)


Sharing.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
test_counts_are_exact_whatever_is_lost = Sharing.TestCase


class First:
    """An rng that has the first of equals chosen."""

    def random(self) -> float:
        return 0.0

    def sample(self, population: Any, k: int) -> Any:
        return list(population)[:k]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Requests that come to one of two replicas, and end in some order and way; times in seconds."""
    steps: list[tuple[Any, ...]] = []
    for number in range(draw(st.integers(1, 25))):
        prompt = draw(st.sampled_from([(1, 2, 3), (1, 2, 4, 5), (6,), (7, 8, 9, 10, 11, 12)]))
        steps.append(("route", draw(st.booleans()), prompt, draw(st.sampled_from("uv"))))
        if draw(st.booleans()):
            steps.append(("end", draw(st.integers(0, number)), draw(st.sampled_from(["ok", "failed", "given up"]))))
        steps.append(("wait", draw(st.sampled_from([0.0, 0.01, 0.3, 2.0]))))
    return steps


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"random", "power-of-two"}))
@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=histories())
def test_two_that_exchange_everything_pick_as_one_does(strategy: str, steps: list[tuple[Any, ...]]):
    """Each request goes to one of two replicas, and to one that gets all of them: both choose the same pod."""
    alone, pair = Replica("one", *PODS, rng=First()), [Replica(name, *PODS, rng=First()) for name in "xy"]
    acquainted(*pair)
    for replica in (alone, *pair):
        replica.fleet._strategies.get(strategy)
        speed = replica.pod("a").speed
        speed.known, speed.fixed_s, speed.token_s, speed.output_s = True, 0.01, 1e-3, 1e-3
    now_s, sent_to, ended = 0.0, [], set()
    for step, *arguments in steps:
        if step == "wait":
            now_s += arguments[0]
        elif step == "route":
            second, prompt, user = arguments
            request = WHOLE._replace(blocks=prompt, prompt_tokens=30 * len(prompt) + 8, user=user, session=user)
            mine, its = pair[second].fleet, alone.fleet
            sent_to.append((mine, mine.route(request, strategy, now_s), its.route(request, strategy, now_s)))
            assert sent_to[-1][1].decision.pod.id == sent_to[-1][2].decision.pod.id
        elif arguments[0] not in ended:
            number, how = arguments
            ended.add(number)
            mine, ticket, other = sent_to[number]
            for fleet, its_ticket in ((mine, ticket), (alone.fleet, other)):
                end(fleet, its_ticket, how, now_s)
        exchange(*pair, now_s=now_s)


def end(fleet: Any, ticket: Ticket, how: str, now_s: float) -> None:
    fleet.release(ticket, now_s)
    seen = {"ok": {}, "failed": {"failed": True, "computed": False}, "given up": {"computed": False, "answered": False}}
    event = Finished(ticket.pod.endpoint.id, ticket.request, now_s, False, 0.4, None, 100, 7)
    fleet.finish(ticket, event._replace(**seen[how]))
