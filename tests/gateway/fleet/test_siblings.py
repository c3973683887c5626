"""Pods as others see them enter ours: load, prompts, samples and failures."""

from array import array
from contextlib import suppress

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.config.settings import RoutingSettings
from gateway.fleet.decisions import pod_page
from gateway.fleet.pod import MAX_EJECTION_S
from gateway.sharing.messages import MAX_NUMBER, Learned, PodLoad, Prompt, Proof, Sample, Share, encode
from routing.pods.speed import KIND_WEIGHT, MIN_REQUESTS
from routing.prefix.blocks import key_digest
from routing.strategy import Finished
from routing.table import STRATEGIES
from routing.types import NoCandidateError, RouteRequest
from tests.support.pods import MODEL, a_description, an_endpoint
from tests.support.replicas import Replica, acquainted, exchange, sent

REQUEST = RouteRequest(MODEL, "u", 100, 10, blocks=(5, 6), block_tokens=40.0)
KEY = key_digest(0)


def test_the_next_pick_counts_what_others_have_in_flight() -> None:
    x, y = Replica("x", "a", "b"), Replica("y", "a", "b")
    acquainted(x, y)
    picks = []
    for _ in range(3):
        for replica in (x, y):
            picks.append(replica.fleet.route(REQUEST._replace(blocks=()), "least-request", 0.0).decision.pod.id)
            exchange(x, y)

    assert [3, 3] == [picks.count("a"), picks.count("b")]
    assert [3, 3] == [x.pod("a").in_flight, y.pod("b").in_flight]
    pages = [pod_page(pod, 0.0) for replica in (x, y) for pod in replica.fleet.pods()]
    assert [3, 3, 3, 3] == [page["in_flight"] for page in pages]
    assert {x.pod(name).elsewhere.requests for name in "ab"} == {page["in_flight_elsewhere"] for page in pages[:2]}


def test_load_goes_with_the_replica_that_had_it() -> None:
    x = Replica("x", "a")
    x.hear(Share("y", 1, loads=[PodLoad("a", 2, 50, 5, 60, prefill_s=1.0)]))
    x.hear(Share("z", 1, loads=[PodLoad("a", 1, 10, 5, 20)]))
    x.fleet.forget("y", 0.5)
    assert (1, 10.0) == (x.pod("a").in_flight, x.pod("a").prefill_tokens)

    x.fleet.forget("z", 0.5)
    x.fleet.forget("z", 0.5)
    assert (0, 0.0, 0) == (x.pod("a").in_flight, x.pod("a").prefill_tokens, x.outbox.siblings)
    assert x.pod("a").prefill_done_at_s == 0.5


def test_everything_replaces_all_that_was_told() -> None:
    x = Replica("x", "a", "b")
    x.hear(Share("y", 1, loads=[PodLoad("a", 2, 50, 5, 60), PodLoad("b", 1, 1, 1, 2)]))
    x.hear(Share("y", 1, everything=True, loads=[PodLoad("a", 1, 20, 5, 30, prefill_s=0.5, wait_s=2.0)]), 1.0)

    assert [1, 0] == [x.pod(name).in_flight for name in "ab"]
    assert (3.0, 0.5) == (x.pod("a").prefill_done_at_s, x.pod("a").prefill_backlog_s(1.0))


def test_the_load_of_a_pod_that_is_discovered_later_counts() -> None:
    x = Replica("x", "a")
    x.hear(Share("y", 1, loads=[PodLoad("b", 2, 50, 5, 60), PodLoad("c", 0, 0, 0, 0)]))
    x.fleet.replace(a_description(an_endpoint("a"), an_endpoint("b"), an_endpoint("c")), 1.0)

    assert [0, 2, 0] == [x.pod(name).in_flight for name in "abc"]


def test_a_pod_that_left_here_keeps_only_our_own_requests() -> None:
    x = Replica("x", "a")
    ticket = x.fleet.route(REQUEST, "least-request", 0.0)
    x.hear(Share("y", 1, loads=[PodLoad("a", 2, 50, 5, 60)]))
    x.fleet.replace(a_description(), 1.0)
    assert 1 == x.pod("a").in_flight

    x.fleet.release(ticket, 2.0)
    assert [] == list(x.fleet.pods())


def test_nothing_is_left_of_a_pod_that_is_gone_everywhere() -> None:
    """Else the loads of pods that once were would some day be all that are kept (`MAX_PODS`)."""
    x, y = Replica("x", "a", "b"), Replica("y", "a", "b")
    acquainted(x, y)
    tickets = [x.fleet.route(REQUEST, "least-request", 0.0) for _ in range(2)]
    exchange(x, y)
    assert {"a", "b"} == y.fleet._siblings._loads["x"].keys()

    for replica in (y, x):
        replica.fleet.replace(a_description(), 1.0)
        exchange(x, y)
    assert {"a", "b"} == y.fleet._siblings._loads["x"].keys()

    for ticket in tickets:
        x.fleet.release(ticket, 2.0)
    exchange(x, y)
    assert {} == y.fleet._siblings._loads["x"]


def test_a_prompt_that_a_sibling_sent_draws_the_next_one_to_the_same_pod() -> None:
    x, y = Replica("x", "a", "b"), Replica("y", "a", "b")
    acquainted(x, y)
    ticket = x.fleet.route(REQUEST, "prefix-cache", 0.0)
    exchange(x, y)
    assert ticket.decision.pod.id == y.fleet.route(REQUEST, "prefix-cache", 0.0).decision.pod.id
    assert x.pod("a").cache.budget == y.pod("a").cache.budget


def test_prompts_that_two_sent_and_no_pod_computed_are_cached_nowhere() -> None:
    x, y = Replica("x", "a"), Replica("y", "a")
    acquainted(x, y)
    for order in ((0, 1), (1, 0)):
        tickets = [replica.fleet.route(REQUEST, "prefix-cache", 0.0) for replica in (x, y)]
        exchange(x, y)
        assert [4, 4] == [replica.pod("a").cache.entries for replica in (x, y)]

        for number in order:
            (x, y)[number].fleet.withdraw(tickets[number], 0.0)
            exchange(x, y)
        assert [0, 0] == [replica.pod("a").cache.entries for replica in (x, y)]


@pytest.mark.parametrize("everything", [False, True])
def test_prompts_hashed_with_another_key_mean_nothing(everything: bool) -> None:
    x = Replica("x", "a")
    prompt = Prompt("a", array("q", [5, 6]).tobytes(), 40.0)
    x.hear(Share("y", 1, KEY + 1, everything=everything, prompts=[prompt]))
    assert 0 == x.pod("a").cache.held

    x.hear(Share("y", 2, KEY, everything=everything, prompts=[prompt]))
    assert 2 == x.pod("a").cache.held


def test_everything_adds_only_what_is_missing_of_the_prompts() -> None:
    x = Replica("x", "a")
    prompt = Prompt("a", array("q", [5, 6]).tobytes(), 0.0)
    longer = Prompt("a", array("q", [5, 6, 7]).tobytes(), 0.0)
    for _ in range(3):
        x.hear(Share("y", 1, KEY, everything=True, prompts=[prompt, longer]))

    assert (3, 5) == (x.pod("a").cache.held, x.pod("a").cache.entries)


def test_speed_is_learned_from_the_samples_of_others() -> None:
    x = Replica("x", "a")
    x.hear(Share("y", 1, samples=[Sample("a", 1000.0, 10, 2.0, 0.0, 1020.0)] * MIN_REQUESTS))

    pod = x.pod("a")
    assert pod.speed.known
    assert pod.latency_per_token_s == pytest.approx(2.0 / 1020.0)


def test_a_newcomer_knows_at_once_what_others_have_learned_of_speeds() -> None:
    """The speed of each kind, and of a pod that differs from its kind; it never forgets what it knows better."""
    x, y = Replica("x", "a", "b"), Replica("y", "a", "b")
    for name, duration_s in (("a", 1.0), ("b", 5.0)):
        for number in range(int(KIND_WEIGHT) + 1):
            tokens = 500.0 + 10 * number % 1000
            x.pod(name).learn_speed(tokens, 10, duration_s * tokens / 1000, 0.0, 1.0)
    assert x.pod("b").speed is not x.pod("b").kind

    everything = sent(x.outbox.everything(1.0))
    y.hear(everything, 1.0)
    for name in "ab":
        assert x.pod(name).speed.learned() == y.pod(name).speed.learned()
    assert y.pod("b").speed.known

    y.pod("a").learn_speed(500.0, 10, 3.0, 0.0, 1.0)
    before = y.pod("a").speed.learned()
    y.hear(everything, 1.0)
    assert before == y.pod("a").speed.learned()


def test_a_pod_that_failed_elsewhere_gets_nothing_until_it_has_answered_somewhere() -> None:
    x = Replica("x", "a", "b")
    x.hear(Share("y", 1, proofs=[Proof("a", 3, 4.0)]), 1.0)
    assert (True, True) == (x.pod("a").is_ejected(4.9), "b" == x.fleet.route(REQUEST, "random", 2.0).decision.pod.id)
    assert not x.pod("a").is_ejected(5.1)

    x.hear(Share("y", 2, proofs=[Proof("a", 1, 10**9)]), 2.0)
    assert (3, MAX_EJECTION_S) == (x.pod("a").failures, x.pod("a").ejected_s(2.0))

    x.hear(Share("y", 3, proofs=[Proof("a", 0)]), 3.0)
    assert not x.pod("a").is_ejected(3.0)
    assert not x.fleet._failing


amounts = st.just(0.0) | st.floats(0, MAX_NUMBER)
counts = st.integers(0, 3) | st.integers(0, MAX_NUMBER)
changes = st.floats(-MAX_NUMBER, MAX_NUMBER)
squares = st.tuples(*[st.just(0.0) | st.floats(0, 1e40)] * 3)
products = st.tuples(*[st.floats(-1e40, 1e40)] * 3)
pods = st.sampled_from(["a", "b", "ghost"])
blocks = st.lists(st.integers(-2, 6), max_size=5).map(lambda hashes: array("q", hashes).tobytes()) | st.binary(
    max_size=9
)
shares = st.builds(
    Share, st.sampled_from("yz"), st.just(1), st.just(KEY), st.booleans(),
    loads=st.lists(st.builds(PodLoad, pods, *[counts] * 6, changes, amounts, *[st.none() | amounts] * 2)),
    prompts=st.lists(st.builds(Prompt, pods, blocks, amounts, st.booleans())),
    samples=st.lists(st.builds(Sample, pods, amounts, counts, amounts, amounts, amounts)),
    proofs=st.lists(st.builds(Proof, pods, counts, amounts)),
    served=st.dictionaries(st.sampled_from("uv"), amounts),
    learned=st.lists(
        st.builds(
            Learned, pods, st.booleans(), counts, squares, squares,
            products, st.tuples(amounts, amounts, amounts),
        )
    ),
)  # fmt: skip


# Without shrinking, which takes minutes.
@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(steps=st.lists(shares, min_size=1, max_size=4), strategy=st.sampled_from(sorted(STRATEGIES)))
def test_whatever_others_tell_requests_go_on(steps: list[Share], strategy: str) -> None:
    x, tickets = Replica("x", "a", "b", settings=RoutingSettings(slo_ttft_s=600_000)), []
    slo = x.fleet.slo(MODEL)
    for number, share in enumerate(steps):
        x.hear(sent(share), float(number))
        with suppress(NoCandidateError):
            tickets.append(x.fleet.route(REQUEST._replace(slo=slo), strategy, float(number)))
        encode(x.outbox.everything(float(number)))
    for ticket in tickets:
        x.fleet.release(ticket, 9.0)
        x.fleet.finish(ticket, Finished(ticket.pod.endpoint.id, ticket.request, 9.0, False, 1.0, None, 100, 10))
    for replica in "yz":
        x.fleet.forget(replica, 10.0)

    assert [(0, 0.0, 0, 0)] * 2 == [
        (pod.in_flight, pod.prefill_tokens, pod.output_tokens, pod.resident_tokens) for pod in x.fleet.pods()
    ]
    for pod in x.fleet.pods():
        pod.cache.clear()
    assert 0 == x.fleet._index.blocks


def test_unknown_pods_and_crooked_prompts_are_ignored() -> None:
    x = Replica("x", "a")
    blocks = array("q", [5, 5, -1]).tobytes()
    share = Share(
        "y", 1, KEY,
        loads=[PodLoad("ghost", 1, 1, 1, 1)],
        prompts=[Prompt("ghost", blocks, 1.0), Prompt("a", b"odd", 1.0), Prompt("a", blocks, 1e-300)],
        samples=[Sample("ghost", 1.0, 1, 1.0, 0.0, 1.0), Sample("a", 1.0, 1, 0.0, 0.0, 1.0)],
        proofs=[Proof("ghost", 1, 1.0)],
        served={"u": 1.0},
    )  # fmt: skip
    x.hear(share)
    x.hear(Share("y", 2, KEY, prompts=[Prompt("a", blocks, 1.0, withdrawn=True)] * 3))

    assert ["a"] == [pod.endpoint.id for pod in x.fleet.pods()]
    x.pod("a").cache.clear()
    assert 0 == x.fleet._index.blocks
