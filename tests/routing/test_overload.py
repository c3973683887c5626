"""The rule by which a pod can start a prompt soon enough."""

from math import inf

import pytest

from gateway.discovery.probing.readings import Readings
from gateway.fleet.pod import Pod
from routing.overload import (
    FULL_RETRY_S,
    MAX_BACKLOG_S,
    MAX_PREFILL_WAIT_S,
    estimate_wait,
    is_best_effort,
    needs_another_look,
    open_pods,
    wait_until_open_s,
)
from routing.pods.load import Work
from routing.turns import FIRST, TURN_S, Turn, Turns
from routing.types import NoCandidateError, NoCandidateReason, RouteRequest, Signal, Slo
from tests.support.choosing import REQUEST
from tests.support.pods import pods_with

SLO = Slo(ttft_s=10.0, itl_s=0.05)


def pods(count: int = 1) -> list[Pod]:
    """Pods of a known speed: 10 ms and 0.1 ms a token."""
    made = pods_with(*[0] * count)
    for pod in made:
        pod.speed.fixed_s, pod.speed.token_s, pod.speed.known = 0.01, 1e-4, True
    return made


def with_backlog(seconds: float) -> Pod:
    """A pod with a backlog of prefill, whose prompts are all computed already."""
    (pod,) = pods()
    pod.start(Work(0, seconds * 1e4 - 100, 0, None), 0.0)
    pod.prefill_done_at_s = 0.0
    return pod


def closed(pod: Pod, request: RouteRequest = REQUEST, slo: Slo = SLO) -> float:
    return wait_until_open_s(pod, request, slo, 0.0)


def test_a_pod_is_open_for_short_prompts_when_it_no_longer_is_for_long_ones() -> None:
    assert closed(with_backlog(0.8)) == 0  # 0.11 s more
    assert closed(with_backlog(0.8), REQUEST._replace(prompt_tokens=5000)) == pytest.approx(0.8 + 0.51 - MAX_BACKLOG_S)


def test_without_a_backlog_a_pod_is_open_even_for_a_prompt_that_is_more_than_the_allowed_backlog() -> None:
    long = REQUEST._replace(prompt_tokens=1_000_000)

    assert closed(pods()[0], long) == 0
    assert closed(with_backlog(0.8), long) == pytest.approx(0.8)


def test_a_backlog_shrinks_at_the_share_of_time_that_prefill_may_take() -> None:
    pod = with_backlog(2.0)
    pod.prefill_share = 0.5

    assert closed(pod) == pytest.approx((2.0 + 0.11 - MAX_BACKLOG_S) / 0.5)


@pytest.mark.parametrize(("ttft_s", "bound_s"), [(10.0, MAX_PREFILL_WAIT_S), (1.0, 0.75 - 0.11)])
def test_a_prompt_does_not_wait_long_for_others(ttft_s: float, bound_s: float) -> None:
    (pod,) = pods()
    pod.prefill_done_at_s = bound_s
    slo = Slo(ttft_s, 0.05)

    assert closed(pod, slo=slo) == 0
    pod.prefill_done_at_s += 0.5
    assert closed(pod, slo=slo) == pytest.approx(0.5)


def test_a_pod_whose_prompts_in_flight_fill_its_cache_is_closed_until_one_ends() -> None:
    (pod,) = pods()
    work = Work(1500, 1500, 10, None)
    pod.start(work, -5.0)
    pod.apply_readings(Readings(cache_tokens=2000), 0.0, inf)

    assert closed(pod) == FULL_RETRY_S
    pod.end(work, 0.0)
    assert closed(pod, REQUEST._replace(prompt_tokens=5000)) == 0


def test_expected_outputs_count_against_the_cache_too() -> None:
    (pod,) = pods()
    pod.start(Work(100, 100, 800, None), -5.0)
    pod.apply_readings(Readings(cache_tokens=2000), 0.0, inf)
    request = REQUEST._replace(prompt_tokens=100)

    assert closed(pod, request._replace(output_tokens=1000)) == 0
    assert closed(pod, request._replace(output_tokens=1001)) == FULL_RETRY_S


def test_before_its_speed_is_known_a_pod_is_open() -> None:
    pod = with_backlog(100.0)
    pod.end(Work(0, 0, 0, None), 0.0)
    pod.speed.known = False
    pod.start(Work(0, 1e6, 0, None), 0.0)

    assert closed(pod) == 0


def test_only_open_pods_are_returned_and_without_any_the_error_says_when_the_first_opens() -> None:
    both = pods(2)
    both[0].prefill_done_at_s = MAX_PREFILL_WAIT_S + 3.0

    assert open_pods(both, REQUEST, SLO, 0.0) == [both[1]]

    both[1].prefill_done_at_s = MAX_PREFILL_WAIT_S + 2.0
    with pytest.raises(NoCandidateError) as refused:
        open_pods(both, REQUEST, SLO, 0.0)
    assert refused.value.why == NoCandidateReason.OVERLOADED
    assert refused.value.retry_after_s == pytest.approx(2.0)


def test_the_estimated_wait_is_for_the_first_pod_to_open_and_the_rate_is_of_all_together() -> None:
    both = pods(2)
    both[0].prefill_done_at_s, both[1].prefill_done_at_s = MAX_PREFILL_WAIT_S + 3.0, MAX_PREFILL_WAIT_S + 2.0
    both[0].prefill_share = 0.5

    assert estimate_wait(both, REQUEST, SLO, 0.0) == pytest.approx((2.0, MAX_PREFILL_WAIT_S + 0.11, 0.11, 1.5))


def test_a_pod_whose_itl_would_exceed_the_slo_with_one_request_more_is_closed_unless_it_is_idle() -> None:
    (pod,) = pods()
    pod.max_in_flight, pod.in_flight = 3.5, 2

    assert closed(pod) == 0
    pod.in_flight = 3
    assert closed(pod) == FULL_RETRY_S
    pod.max_in_flight, pod.in_flight = 0.5, 0
    assert closed(pod) == 0


def test_a_best_effort_prompt_needs_a_second_open_pod_where_there_is_one() -> None:
    long = REQUEST._replace(prompt_tokens=1_000_000)
    idle, busy = pods()[0], with_backlog(0.8)

    assert is_best_effort([idle, busy], long, SLO)
    assert not is_best_effort([idle], REQUEST, SLO)
    assert [idle] == list(open_pods([idle], long, SLO, 0.0))
    with pytest.raises(NoCandidateError) as refused:
        open_pods([idle, busy], long, SLO, 0.0)
    assert refused.value.retry_after_s == pytest.approx(0.8)


def loaded_by_others(pod: Pod, *, usage: float = 0.0, cache_tokens: float | None = None, **signals: float) -> None:
    """The engine reports requests that are not ours."""
    reported = {Signal(name): value for name, value in signals.items()} | {Signal.KV_USAGE: usage}
    pod.apply_readings(Readings(reported, cache_tokens), 0.0, fresh_until_s=9.0)


def test_a_pod_where_prompts_of_others_wait_is_closed() -> None:
    (pod,) = pods()
    loaded_by_others(pod, waiting=10.0)
    assert closed(pod) == 0  # 10 of 0.11 s

    loaded_by_others(pod, waiting=60.0)
    assert closed(pod) == pytest.approx(6.6 - MAX_PREFILL_WAIT_S)
    pod.prefill_done_at_s = 1.0
    assert closed(pod) == pytest.approx(7.6 - MAX_PREFILL_WAIT_S)
    assert estimate_wait([pod], REQUEST, SLO, 0.0).ttft_s == pytest.approx(MAX_PREFILL_WAIT_S + 0.11)
    pod.apply_readings(Readings(), 10.0, fresh_until_s=19.0)  # it tells nothing any more
    assert closed(pod) == 0


def test_the_batch_and_the_cache_are_shared_with_others() -> None:
    batch, cache = pods(2)
    batch.max_in_flight = 8.5
    loaded_by_others(batch, running=7.0)
    assert closed(batch) == 0
    loaded_by_others(batch, running=8.0)
    assert closed(batch) == FULL_RETRY_S

    loaded_by_others(cache, running=5.0, usage=0.85, cache_tokens=10_000)
    assert closed(cache) == 0
    loaded_by_others(cache, running=5.0, usage=0.95, cache_tokens=10_000)
    assert closed(cache) == FULL_RETRY_S


def test_what_is_in_the_cache_is_ours_where_all_requests_are() -> None:
    (pod,) = pods()
    pod.start(Work(500, 500, 10, None), -5.0)
    loaded_by_others(pod, running=1.0, usage=0.95, cache_tokens=10_000)

    assert closed(pod) == 0


def test_where_others_close_all_pods_each_takes_one_request_of_ours() -> None:
    both = pods(2)
    for pod in both:
        loaded_by_others(pod, waiting=60.0)
    assert open_pods(both, REQUEST, SLO, 0.0) == both

    both[0].start(Work(10, 10, 10, None), 0.0)
    assert open_pods(both, REQUEST, SLO, 0.0) == [both[1]]
    both[1].start(Work(10, 10, 10, None), 0.0)
    with pytest.raises(NoCandidateError):
        open_pods(both, REQUEST, SLO, 0.0)


def test_a_pod_must_have_room_for_those_that_stand_before() -> None:
    pod = with_backlog(0.5)  # and 0.11 s for each request

    assert [True, False] == [wait_until_open_s(pod, REQUEST, SLO, 0.0, before) == 0 for before in (3, 4)]
    assert wait_until_open_s(pod, REQUEST, SLO, 0.0, 4) == pytest.approx(0.05)


def test_an_idle_pod_is_open_for_the_first_in_line_and_for_all_whose_prompts_fit_beside() -> None:
    (pod,), long = pods(), REQUEST._replace(prompt_tokens=9000)

    assert [True, False] == [wait_until_open_s(pod, long, SLO, 0.0, before) == 0 for before in (0, 1)]


def test_a_batch_must_have_room_for_those_that_stand_before() -> None:
    (pod,) = pods_with(5)
    pod.max_in_flight = 8

    assert [0, FULL_RETRY_S] == [wait_until_open_s(pod, REQUEST, SLO, 0.0, before) for before in (2, 3)]


def test_who_is_not_first_hears_when_the_line_moves() -> None:
    (pod,), long = pods(), REQUEST._replace(prompt_tokens=9000)
    turn = Turn(Turns("me"), ["other"], True)
    while turn.place(pod, 0.0) == FIRST:
        pod.sent += 1

    with pytest.raises(NoCandidateError) as error:
        open_pods((pod,), long, SLO, 0.0, turn)
    assert error.value.retry_after_s == pytest.approx(TURN_S)
    assert needs_another_look(pod, long, SLO, 0.0, turn)
    assert [pod] == open_pods((pod,), long, SLO, TURN_S, turn)


def test_a_pod_with_load_of_others_that_is_open_is_left_to_those_whose_turn_it_is() -> None:
    (pod,) = pods()
    loaded_by_others(pod, running=1.0)
    turn = Turn(Turns("me"), ["other"], False)
    assert closed(pod) == 0

    with pytest.raises(NoCandidateError):
        open_pods((pod,), REQUEST, SLO, 0.0, turn)
