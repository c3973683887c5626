"""Whatever happens in whatever order: who enters is told once or leaves, in time, and nothing stays counted."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.admission.queue import AdmissionQueue, QueuedRequest
from gateway.discovery.description import ModelPolicy
from gateway.fleet.ticket import Ticket
from routing.overload import MIN_WAIT_S
from routing.selectors import Selector, parse_selector
from routing.strategy import Finished
from routing.types import Endpoint, NoCandidateReason
from tests.support.desk import SLO, Desk
from tests.support.pods import MODEL, a_description, an_endpoint

PODS = tuple(an_endpoint(f"p{number}", labels={"pod": f"p{number}"}) for number in range(3))
ANY = (None, None, None, parse_selector("pod=p0"), parse_selector("pod=p1"))
FIRST = st.integers(0, 30)
"""An index into the requests that exist at that moment, modulo their number."""


class Waits(RuleBasedStateMachine):
    """The clock moves as the gateway's: the timer fires at the time that it was set to."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(pods=3)
        self.desk.fleet.replace(a_description(*PODS))
        for pod in self.desk.fleet.pods():
            pod.speed.fixed_s, pod.speed.token_s, pod.speed.known = 0.01, 1e-4, True
        self.queue: AdmissionQueue = self.desk.queue
        self.now_s = 0.0
        self.entered: dict[str, QueuedRequest] = {}
        self.left: set[str] = set()
        self.ended: set[str] = set()

    @rule(
        user=st.sampled_from("abc"),
        tokens=st.sampled_from([1, 500, 5_000, 40_000]),
        selector=st.sampled_from(ANY),
        many=st.integers(1, 8),
    )
    def enter(self, user: str, tokens: int, selector: Selector | None, many: int) -> None:
        for _ in range(many):
            name = str(len(self.entered))
            fields = {"prompt_tokens": tokens, "selector": selector}
            self.entered[name] = self.desk.enter(name, user, self.now_s, **fields)

    @rule(which=FIRST)
    def leave(self, which: int) -> None:
        waiting = self.waiting()
        if waiting:
            name = waiting[which % len(waiting)]
            self.queue.leave(self.entered[name])
            self.left.add(name)

    @rule(which=FIRST, failed=st.booleans(), tokens=st.integers(1, 100))
    def finish(self, which: int, failed: bool, tokens: int) -> None:
        name, ticket = self.running(which)
        if ticket is not None:
            assert self.desk.queue.release(ticket, self.now_s)
            self.ended.add(name)
            event = Finished(
                ticket.pod.endpoint.id, ticket.request, self.now_s, failed=failed, duration_s=0.5, input_tokens=tokens,
                output_tokens=tokens,
            )  # fmt: skip
            self.desk.queue.finish(ticket, event)

    @rule(which=FIRST)
    def withdraw(self, which: int) -> None:
        name, ticket = self.running(which)
        if ticket is not None:
            self.desk.queue.withdraw(ticket, self.now_s)
            self.ended.add(name)

    @rule(pods=st.lists(st.sampled_from(PODS), unique_by=lambda pod: pod.id), promise=st.sampled_from([None, 0.0, 1.0]))
    def replace(self, pods: list[Endpoint], promise: float | None) -> None:
        policies = {MODEL: ModelPolicy(slo_ttft_s=promise)} if pods else {}
        self.desk.fleet.replace(a_description(*pods, **policies), self.now_s)

    @rule(pod=st.sampled_from(PODS), healthy=st.booleans())
    def check(self, pod: Endpoint, healthy: bool) -> None:
        self.desk.fleet.set_health(pod.id, healthy)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 2.0, 15.0]))
    def wait(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.desk.timer_s is not None and self.desk.timer_s <= until_s:
            self.now_s = max(self.now_s + MIN_WAIT_S, self.desk.timer_s)
            self.desk.timer_s = None
            self.queue.advance(self.now_s)
        self.now_s = max(self.now_s, until_s)

    def waiting(self) -> list[str]:
        return [name for name in self.entered if name not in self.desk.heard and name not in self.left]

    def running(self, which: int) -> tuple[str, Ticket | None]:
        names = [name for name, outcome in self.desk.heard.items() if isinstance(outcome, Ticket)]
        running = [name for name in names if name not in self.ended]
        return (name := running[which % len(running)], self.desk.ticket(name)) if running else ("", None)

    @invariant()
    def who_entered_waits_or_was_told_or_left(self) -> None:
        assert not self.left & self.desk.heard.keys()
        assert len(self.waiting()) == sum(self.queue.waiting().values())

    @invariant()
    def somebody_looks_after_those_who_wait_before_their_time_is_over(self) -> None:
        if lasts_s := [self.entered[name].deadline_s for name in self.waiting()]:
            assert self.desk.timer_s is not None
            assert self.desk.timer_s <= max(self.now_s + MIN_WAIT_S, min(lasts_s))

    @invariant()
    def in_flight_is_what_was_sent_and_has_not_ended(self) -> None:
        sent = [name for name, outcome in self.desk.heard.items() if isinstance(outcome, Ticket)]
        assert len(set(sent) - self.ended) == sum(pod.in_flight for pod in self.desk.fleet.pods())

    def teardown(self) -> None:
        """Check that nobody waits any more once all that was sent has ended and time has gone on."""
        self.wait(SLO.ttft_s)
        assert not self.waiting()
        while self.running(0)[1] is not None:
            self.withdraw(0)
        for pod in self.desk.fleet.pods():
            assert (0, 0, 0.0) == (pod.in_flight, pod.resident_tokens, pod.prefill_backlog_s(self.now_s))
        refused = [outcome for outcome in self.desk.heard.values() if not isinstance(outcome, Ticket)]
        assert all(error.retry_after_s > 0 for error in refused if error.why is NoCandidateReason.OVERLOADED)


Waits.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestWaits = Waits.TestCase
