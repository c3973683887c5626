"""Strategies that go by what the gateway has counted and learned: each by its header, on four unequal engines.

In each situation one pod is right by what docs/contracts.md section 4 says of the strategy,
mostly not the one that another strategy would take.
"""

from collections import Counter

import pytest

from tests.support.stage import PICKS, PODS, Cast, always


def test_least_request_takes_the_pod_with_fewest_in_flight_though_it_is_the_slowest(cast: Cast) -> None:
    with cast.holding(h100=1, a100=2, l20=2):
        assert always("l4") == cast.picks("least-request")

    assert {"0 in flight, 1 of 4 tied"} == set(cast.reasons)


def test_least_load_counts_tokens_and_not_requests(cast: Cast) -> None:
    with cast.holding(h100=1, a100=1, l4=1), cast.holding(output=400, l20=3):
        assert always("l20") == cast.picks("least-load")

    assert all("tokens in flight, 1 of 4 tied" in reason for reason in cast.reasons)


def test_throughput_takes_the_pod_that_has_processed_least_however_many_requests_that_were(cast: Cast) -> None:
    cast.teach(*[("l20", 5, 1)] * 4, ("a100", 2000, 1), ("h100", 2000, 1), ("l4", 2000, 1))

    assert always("l20") == cast.picks("throughput")
    assert all("weighted tokens processed, 1 of 4 tied" in reason for reason in cast.reasons)


def test_least_busy_time_takes_the_pod_that_was_in_use_for_the_shortest_time(cast: Cast) -> None:
    with cast.holding(h100=1, l20=1, l4=1), cast.holding(a100=3):
        assert always("a100") == cast.picks("least-busy-time")

    assert all("s busy, 1 of 4 tied" in reason for reason in cast.reasons)


def test_least_latency_takes_the_pod_that_answered_fastest_by_size(cast: Cast) -> None:
    cast.set_speed("l20", tokens_per_s=200)
    for pod in ("a100", "h100", "l4"):
        cast.set_speed(pod, tokens_per_s=20)
    cast.teach(("l20", 10, 100), ("a100", 10, 10), ("h100", 10, 10), ("l4", 10, 10))  # all took half a second

    with cast.holding(l20=1):
        assert always("l20") == cast.picks("least-latency", max_tokens=20)
    assert all("ms per token, 1 of 4 tied" in reason for reason in cast.reasons)


def test_vtc_basic_keeps_a_heavy_user_from_the_pods_of_a_light_one(cast: Cast) -> None:
    first, second, *_, last = PODS
    heavy, light = ({"user": cast.stack.user()} for _ in range(2))
    assert 200 == cast.ask("vtc-basic", headers=light).status_code  # counters begin with its first use
    cast.teach(*[("h100", 2000, 1)] * 4, user=heavy["user"])

    assert always(last) == cast.picks("vtc-basic", headers=heavy)
    assert always(first) == cast.picks("vtc-basic", headers=light)
    with cast.holding(**{first: 1}):
        assert always(second) == cast.picks("vtc-basic", headers=light)


def test_session_affinity_keeps_a_session_on_its_pod_whatever_the_load(cast: Cast) -> None:
    session = {"x-session-id": "a session"}
    [home] = cast.picks("session-affinity", 1, headers=session)

    with cast.holding(**{home: 3}):
        assert always(home) == cast.picks("session-affinity", headers=session)
    assert {"session's of 4"} == set(cast.reasons)


def test_session_affinity_spreads_sessions_and_echoes_them(cast: Cast) -> None:
    pods = {cast.picks("session-affinity", 1, headers={"x-session-id": f"s{n}"})[0] for n in range(30)}
    answer = cast.ask("session-affinity", headers={"x-session-id": "mine"})

    assert PODS.keys() == pods
    assert "mine" == answer.headers["x-session-id"]


def test_power_of_two_takes_the_better_of_two(cast: Cast) -> None:
    pair = {"external-filter": "gpu in (a100,l4)"}
    with cast.holding(a100=1):
        assert ["l4"] * 2 * PICKS == cast.picks("power-of-two", 2 * PICKS, headers=pair)

    assert {"0 in flight, best of 2 drawn"} == set(cast.reasons)


def test_random_goes_everywhere_whatever_the_load(cast: Cast) -> None:
    with cast.holding(h100=2):
        picks = Counter(cast.picks("random", 48))

    assert PODS.keys() == picks.keys()
    assert {"random of 4"} == set(cast.reasons)


@pytest.mark.parametrize("strategy", ["forebay", "least-latency"])
def test_before_anything_is_learned_what_stands_in_is_named_and_counted(cast: Cast, strategy: str) -> None:
    reason = {"forebay": "speed-unknown", "least-latency": "nothing-finished"}[strategy]
    with cast.holding(a100=1, h100=1, l4=1):
        before = cast.stack.figure("forebay_fallbacks_total", strategy=strategy, reason=reason)
        [pod] = cast.picks(strategy, 1)

    assert ("l20", True) == (pod, cast.reasons[0].endswith(f", fallback={reason}"))
    assert 1 == cast.stack.figure("forebay_fallbacks_total", strategy=strategy, reason=reason) - before
