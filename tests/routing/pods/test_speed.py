"""The speed of a pod, learned from whole requests."""

import random
from collections.abc import Iterator

import pytest

from routing.pods.speed import KIND_WEIGHT, MIN_REQUESTS, PRIOR, Speed

TRUE = (0.015, 2e-5, 0.008)
RNG_SEED = 3


def requests(count: int, truth: tuple[float, float, float] = TRUE) -> Iterator[tuple[float, float, float, float]]:
    """Uncached tokens, outputs, a duration within 10 %, and the predicted wait."""
    rng = random.Random(RNG_SEED)
    fixed, token, output = truth
    for _ in range(count):
        uncached, outputs, wait_s = rng.uniform(10, 8000), rng.randint(1, 400), rng.uniform(0, 0.2)
        exact_s = wait_s + fixed + token * uncached + output * outputs
        yield uncached, outputs, exact_s * rng.uniform(0.9, 1.1), wait_s


def learned(speed: Speed, count: int = 3000, truth: tuple[float, float, float] = TRUE) -> Speed:
    for seen in requests(count, truth):
        speed.learn(*seen)
    return speed


def test_prefill_and_output_are_told_apart_without_seeing_a_first_token() -> None:
    assert learned(Speed()).coefficients[1:] == pytest.approx(TRUE[1:], rel=0.1)


def test_nothing_is_known_before_a_few_requests_have_ended() -> None:
    speed = Speed()

    assert (speed.known, speed.coefficients, speed.prefill_s(1000)) == (False, PRIOR, 0.0)
    assert learned(speed, MIN_REQUESTS).known


def test_traffic_of_one_size_does_not_make_nonsense() -> None:
    speed = Speed()
    for _ in range(5000):
        speed.learn(1000, 100, 1.0, 0.0)

    assert min(speed.coefficients) > 0
    assert speed.prefill_s(1000) + 100 * speed.output_s == pytest.approx(1.0, rel=0.05)


def test_a_short_request_that_waited_for_a_prompt_nobody_knew_of_spoils_nothing() -> None:
    speed = learned(Speed(), 20)
    before_s = speed.prefill_s(8000)
    speed.learn(30, 2, 30 * (TRUE[0] + 2 * TRUE[2]), 0.0)

    assert speed.prefill_s(8000) == pytest.approx(before_s, rel=0.15)


def test_a_pod_that_has_become_ten_times_slower_is_found_out() -> None:
    slower = (0.15, 2e-4, 0.08)
    speed = learned(learned(Speed()), 15_000, slower)

    assert speed.coefficients[1:] == pytest.approx(slower[1:], rel=0.15)


@pytest.mark.parametrize("seen", [(1000, 100, 0.0, 5.0), (0, 0, 1e-9, 0.0), (500, 0, 0.1, 0.0), (1e9, 0, 1e-9, 1e9)])
def test_no_observation_makes_a_coefficient_zero_or_less(seen: tuple[float, float, float, float]) -> None:
    kind = Speed()
    pod = Speed(kind)
    for _ in range(50):
        kind.learn(*seen)
        pod.learn(*seen)

    assert min(*kind.coefficients, *pod.coefficients) > 0


def test_a_pod_is_taken_for_one_of_its_kind_until_it_shows_otherwise() -> None:
    kind = learned(Speed())
    same, slower = learned(Speed(kind), 1000), learned(Speed(kind), 3000, (0.03, 6e-5, 0.016))

    assert not Speed(kind).differs(kind)
    assert not same.differs(kind)
    assert slower.differs(kind)
    assert slower.token_s == pytest.approx(6e-5, rel=0.25)
    assert not learned(Speed(kind), int(KIND_WEIGHT) - 1, (0.03, 6e-5, 0.016)).differs(kind)


def test_prompts_that_an_engine_counted_correct_what_a_burst_at_the_start_taught() -> None:
    speed = learned(Speed(), 50, (3.0, 2e-4, 0.008))  # nobody foresaw that they would wait
    assert speed.prefill_s(2000) > 1.0

    rng = random.Random(RNG_SEED)
    for _ in range(200):
        tokens = rng.uniform(2000, 20_000)
        speed.measure(4, tokens, 4 * TRUE[0] + TRUE[1] * tokens)

    assert speed.prefill_s(2000) == pytest.approx(TRUE[0] + 2000 * TRUE[1], rel=0.3)
