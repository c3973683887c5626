"""The queue model, against values that were computed apart from it, and the chunked model."""

from math import inf

import pytest

from optimizer.profiles.capacity import Fit, Slo, capacity, latencies, service_rate

FIT = Fit(6.973e-3, 0.0270e-3, 14.825e-3, 0.001364e-3, max_batch=64, max_queue=256)
TOKENS = (128.0, 128.0)


@pytest.mark.parametrize(
    ("rate", "ttft_ms", "itl_ms", "wait_ms"),
    [(10, 16.6, 7.25, 0), (30, 20.3, 7.82, 0), (50, 55.9, 8.48, 31), (55, 480, 8.65, 454), (58, 3846, 8.70, 3822)],
)
def test_latencies_at_known_rates(rate: float, ttft_ms: float, itl_ms: float, wait_ms: float):
    point = latencies(FIT, *TOKENS, rate)

    assert (ttft_ms, itl_ms, wait_ms) == (
        pytest.approx(point.ttft_s * 1000, rel=0.01, abs=0.06),
        pytest.approx(point.itl_s * 1000, abs=0.006),
        pytest.approx(point.wait_s * 1000, rel=0.01, abs=0.6),
    )


def test_the_engine_is_full_at_the_service_rate_of_its_largest_batch():
    assert 56.59 == pytest.approx(service_rate(FIT, *TOKENS, 64), abs=0.005)
    assert 56.59 * 0.999 == pytest.approx(capacity(FIT, *TOKENS, Slo()), abs=0.005)


@pytest.mark.parametrize("slo", [Slo(ttft_s=0.1), Slo(itl_s=0.008), Slo(e2e_s=1.1), Slo(0.1, 0.0083, 1.2)])
def test_a_capacity_is_the_highest_rate_that_keeps_the_slo(slo: Slo):
    rate = capacity(FIT, *TOKENS, slo)

    assert 0 < rate < 56.5
    assert latencies(FIT, *TOKENS, rate).keep(slo, TOKENS[1])
    assert not latencies(FIT, *TOKENS, rate * 1.0002).keep(slo, TOKENS[1])


def test_an_slo_that_not_even_a_request_alone_keeps_leaves_nothing():
    assert 0.0 == capacity(FIT, *TOKENS, Slo(ttft_s=0.001))


def test_one_output_token_has_no_time_between_tokens():
    assert capacity(FIT, 128.0, 1.0, Slo(itl_s=1e-9)) > 0


def test_a_slower_engine_carries_less_by_at_least_the_slowdown():
    slo = Slo(ttft_s=0.1, itl_s=0.015)

    assert capacity(FIT.slower(1.5), *TOKENS, slo) <= capacity(FIT, *TOKENS, slo) / 1.5
    assert pytest.approx(latencies(FIT, *TOKENS, 30).ttft_s * 1.5) == latencies(FIT.slower(1.5), *TOKENS, 20).ttft_s


def test_longer_requests_and_tighter_targets_are_served_at_lower_rates():
    rates = [
        capacity(FIT, i, o, Slo(ttft_s=t)) for i, o, t in ((128, 128, 1), (512, 128, 1), (512, 512, 1), (512, 512, 0.1))
    ]

    assert sorted(rates, reverse=True) == rates
    assert len(set(rates)) == len(rates)


def test_overload_does_not_overflow():
    assert latencies(FIT, *TOKENS, 1e6).wait_s > 1


CHUNKED = Fit(0.02, 0.0003, 0.01, 0.0002, 64, epsilon_s=2e-7, kv_tokens=20_000.0, is_chunked=True)


def test_a_chunked_engine_that_is_idle_takes_its_times():
    found = latencies(CHUNKED, 1000, 11, 1e-9)

    assert (0.01 + 0.2 + 0.02 / 2, 0.02, 0.0) == pytest.approx((found.ttft_s, found.itl_s, found.wait_s), abs=1e-6)


def test_prompts_slow_the_tokens_of_others_down():
    found = latencies(CHUNKED, 1000, 11, 2.5)  # prompts take half of the time

    n, per_request_s = found.running, 0.0003 + 2e-7 * 1005.5
    assert 2 * (0.02 + per_request_s * n) == pytest.approx(found.itl_s)
    assert 2.5 * found.e2e_s(11) == pytest.approx(n, rel=1e-6)  # Little's law
    assert 0.2 * 0.5 / (2 * 0.5) == pytest.approx(found.wait_s)  # M/D/1


def test_long_prompts_one_by_one_keep_an_slo_that_many_at_once_break():
    together = Fit(CHUNKED.alpha_s, CHUNKED.beta_s, CHUNKED.gamma_s, CHUNKED.delta_s, 64)

    assert capacity(together, 1000, 500, Slo(ttft_s=1.0)) < 0.5 * capacity(CHUNKED, 1000, 500, Slo(ttft_s=1.0))


def test_the_cache_bounds_how_many_run():
    rate = capacity(CHUNKED, 4000, 1000, Slo())

    assert 20_000 / 5000 == pytest.approx(latencies(CHUNKED, 4000, 1000, rate).running, rel=1e-3)
    assert inf == latencies(CHUNKED, 4000, 1000, 1.01 * rate).ttft_s


def test_a_chunked_engine_that_is_slower_carries_less():
    rates = [capacity(CHUNKED.slower(factor), 300, 100, Slo(2.0, 0.05)) for factor in (1.0, 1.5, 2.4)]

    assert rates[0] / 2.5 > rates[1] / 1.5 > 0 < rates[2]
    assert 0.0 == capacity(CHUNKED.slower(2.6), 300, 100, Slo(2.0, 0.05))
