from collections import Counter

import pytest

from ratelimit.limits import User
from simulator.core.totals import Totals
from simulator.replay.summary import Distribution, Slo, distribution, itl_distribution, summarize
from tests.support.fleet_replay import a_replay, a_request
from tests.support.model_engine import an_engine


def summary(*trace, slo=Slo(), users=None):  # noqa: B008  # a frozen value
    engines = {f"pod-{index}": an_engine() for index in range(2)}
    calls = a_replay(trace, engines, users=users).run()
    return summarize("s", 2.0, calls, {pod: engine.totals for pod, engine in engines.items()}, slo)


def test_quantiles_lie_between_the_two_nearest_values():
    assert Distribution(51.0, 51.0, 91.0, 100.0) == pytest.approx(distribution(range(1, 102)))
    assert Distribution(1.5, 1.5, 1.9, 1.99) == pytest.approx(distribution([2.0, 1.0]))


def test_nothing_has_no_distribution():
    assert (None, None) == (distribution([]), itl_distribution([Totals()]))


def test_times_between_tokens_of_several_engines_are_one_distribution():
    one, other = (
        Totals(itl_sum_s=0.9, itl_histogram=Counter({100: 90})),
        Totals(itl_sum_s=1.0, itl_histogram=Counter({1000: 10})),
    )

    assert Distribution(0.019, 0.01, 0.01, 0.1) == pytest.approx(itl_distribution([one, other]))


def test_times_count_from_arrival():
    run = summary(a_request(0, output=3), a_request(10, output=3), a_request(500, output=3))

    assert [1.0, 1.0, 1.5] == run.ttfts_s
    assert (3.5 / 3, 9.5 / 3, 1.0) == pytest.approx((run.ttft.mean, run.e2e.mean, run.itl.mean))


def test_a_request_is_good_when_both_its_first_and_its_further_tokens_are_in_time():
    trace = (a_request(0, output=3), a_request(10), a_request(500))

    assert (3, 2, 0) == tuple(summary(*trace, slo=slo).good for slo in (Slo(1.5, 1.0), Slo(1.4, 1.0), Slo(9.0, 0.9)))


def test_an_answer_of_one_token_has_no_gap_to_be_late():
    assert 1 == summary(a_request(0, output=1), slo=Slo(1.0, 0.001)).good


def test_refusals_are_counted_by_reason_and_served_nothing():
    run = summary(a_request(0, user="u"), a_request(10, user="u"), a_request(20, prompt=999), users={"u": User("u", 1)})

    assert (3, 1, {"rpm": 1, "too-long": 1}) == (run.requests, run.served, run.refused)
    assert 8 / (8 + 8 + 999) == run.prompt_share


def test_load_is_the_time_in_which_pods_computed():
    run = summary(a_request(0, output=6), a_request(10, output=2))

    assert ({"pod-0": 6.0, "pod-1": 2.0}, 1.5) == (run.load, run.load_spread)


def test_a_trace_without_requests_has_a_summary():
    run = summary()

    assert (None, 0.0, 0.0, 1.0, None) == (run.ttft, run.reuse, run.prompt_share, run.load_spread, run.service)
