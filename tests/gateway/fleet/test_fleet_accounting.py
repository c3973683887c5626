"""Whatever happens in whatever order, the fleet's counts equal the requests that are open."""

import random
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gateway.config.settings import RoutingSettings
from gateway.fleet.fleet import Fleet
from gateway.fleet.pod import PodIdentity, pod_identity
from gateway.fleet.ticket import Ticket
from routing.table import STRATEGIES
from routing.types import Endpoint, NoCandidateError, RouteRequest
from tests.support.pods import a_description, an_endpoint

REQUEST = RouteRequest("", prompt_tokens=100, output_tokens=7, blocks=(1, 2), block_tokens=30)
MODELS = ("m", "n", "adapter")

endpoints = st.builds(
    lambda name, port, started_at, models, ready: an_endpoint(
        name, address=f"10.0.0.1:{port}", started_at=started_at, models=tuple(models), ready=ready
    ),
    st.sampled_from("abc"),
    st.sampled_from([1, 2]),
    st.sampled_from([None, 1.0]),
    st.lists(st.sampled_from(MODELS), min_size=1, unique=True),
    st.booleans(),
)


class FleetAccounting(RuleBasedStateMachine):
    """The oracle: every open request by the pod it was sent to, as that pod was known at the time."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(RoutingSettings(), random.Random(1))
        self.open: dict[Ticket, PodIdentity] = {}

    @rule(described=st.lists(endpoints, max_size=3, unique_by=lambda endpoint: endpoint.id))
    def replace(self, described: list[Endpoint]) -> None:
        self.fleet.replace(a_description(*described))

    @rule(pod=st.sampled_from("abc"), healthy=st.booleans())
    def check(self, pod: str, healthy: bool) -> None:
        self.fleet.set_health(pod, healthy)

    @rule(pod=st.sampled_from("abc"), draining=st.booleans())
    def drain(self, pod: str, draining: bool) -> None:
        self.fleet.set_draining(pod, draining)

    @rule(target=tickets, model=st.sampled_from(MODELS), strategy=st.sampled_from(sorted(STRATEGIES)))
    def route(self, model: str, strategy: str) -> Ticket | None:
        try:
            ticket = self.fleet.route(REQUEST._replace(model=model), strategy, now_s=0.0)
        except NoCandidateError:
            return None
        chosen = ticket.decision.pod
        assert model in chosen.models
        assert (chosen.ready, chosen.draining) == (True, False)
        self.open[ticket] = pod_identity(chosen)
        return ticket

    @rule(ticket=consumes(tickets))
    def release_and_forget(self, ticket: Ticket | None) -> None:
        self._release(ticket)

    @rule(ticket=tickets)
    def release_perhaps_again(self, ticket: Ticket | None) -> None:
        self._release(ticket)

    def _release(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            assert self.fleet.release(ticket, 1.0) is (ticket in self.open)
            self.open.pop(ticket, None)

    @invariant()
    def every_pod_counts_its_open_requests(self) -> None:
        counted = {pod_identity(pod.endpoint): pod.in_flight for pod in self.fleet.pods() if pod.in_flight}
        assert counted == Counter(self.open.values())

    @invariant()
    def every_pod_counts_the_tokens_of_its_open_requests(self) -> None:
        for pod in self.fleet.pods():
            works = [ticket.work for ticket in self.open if ticket.pod is pod]
            assert pod.resident_tokens == sum(work.prompt_tokens + work.output_tokens for work in works)
            assert pod.prefill_tokens == sum(work.uncached_tokens for work in works)

    @invariant()
    def every_model_counts_its_open_requests(self) -> None:
        counted = {model: count for model, count in self.fleet.in_flight().items() if count}
        assert counted == Counter(ticket.request.model for ticket in self.open)

    @invariant()
    def only_pods_with_open_requests_are_remembered(self) -> None:
        assert all(pod.in_flight > 0 for pod in self.fleet.pods() if pod.gone)

    def teardown(self) -> None:
        for ticket in list(self.open):
            assert self.fleet.release(ticket, 1.0)
        assert all(pod.in_flight == 0 and not pod.gone for pod in self.fleet.pods())
        assert not any(self.fleet.in_flight().values())


test_counts_equal_the_open_requests = FleetAccounting.TestCase
