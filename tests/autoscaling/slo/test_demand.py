"""Demand ahead: slots, the three bounds, and the noise of arrivals."""

import random
from math import pi, sin

import pytest

from autoscaling.slo.demand import LEARNING, SLOT_S, Demand
from autoscaling.slo.lags import GENERATION


def observe(rates: list[float]) -> Demand:
    return observe_more(Demand(), rates)


def observe_more(demand: Demand, rates: list[float]) -> Demand:
    for rate in rates:
        demand.observe(rate * SLOT_S, SLOT_S)
    return demand


def test_demand_is_the_mean_of_half_a_minute():
    assert 3 == observe([9.0] * 9 + [0.0, 0.0, 0.0, 0.0, 9.0, 9.0]).now


@pytest.mark.parametrize("ticks", [[5.0] * 12, [10.0] * 6, [2.5] * 24, [1.0] * 60, [60.0]])
def test_slots_do_not_depend_on_the_interval_of_observations(ticks):
    demand = Demand()
    for seconds in ticks:
        demand.observe(4 * seconds, seconds)

    assert 4 == demand.now and 11 <= demand.lags.slots <= 20


def test_what_never_rose_is_not_expected_to():
    assert [4.0] * 20 == observe([4.0] * 100).ahead(20)


def test_a_step_may_come_again():
    ahead = observe([2.0] * 66 + [4.0] * 50).ahead(20)

    assert 4 <= min(ahead) and 6 == max(ahead)


def test_a_wave_is_foreseen():
    def wave(slot: int) -> float:
        return 5 + 3 * sin(2 * pi * slot / 96)

    now = 300
    ahead = observe([wave(slot) for slot in range(now)]).ahead(30)

    for slot, rate in enumerate(ahead):
        assert wave(now + slot) - 0.1 <= rate <= wave(now + slot) + 1.2


def test_while_the_usual_level_is_learned_a_rise_goes_on_as_it_goes_now():
    climbing = observe([slot / 10 for slot in range(24)])
    over = observe([slot / 10 for slot in range(24)] + [2.4] * 12)

    assert len(over.means) < LEARNING
    assert max(climbing.ahead(20)) > climbing.now + 1
    assert [over.now] * 20 == over.ahead(20)


def test_above_every_record_a_rise_that_lasts_goes_on_and_a_step_does_not():
    flat = [2.0] * 100
    ramp = observe(flat + [2 + slot / 20 for slot in range(40)])
    step = observe(flat + [4.0] * 6)

    assert max(ramp.ahead(20)) == pytest.approx(ramp.now + 23 / 20)
    assert max(step.ahead(20)) <= step.now + 2 and step.is_rising
    assert not observe(flat).is_rising


def test_a_record_is_forgotten_after_hours_and_the_highest_ever_still_bounds():
    day = [3 + slot / 20 for slot in range(100)]
    demand = observe([2.0] * 60 + day + [2.0] * 2 * GENERATION)
    known = demand.peak

    assert 2 == pytest.approx(demand.record) and known > 7.5
    again = observe_more(demand, day[:40])
    assert again.now + 1 < max(again.ahead(20)) <= known + again.overshoots[-1]


def test_a_crest_that_was_there_from_the_start_bounds_nothing():
    falling = [8 - slot / 10 for slot in range(45)]
    from_above, known = observe(falling), observe([2.0] * 10 + falling)

    rising_again = [3.5 + slot / 6 for slot in range(24)]
    for rate in rising_again:
        from_above.observe(rate * SLOT_S, SLOT_S)
        known.observe(rate * SLOT_S, SLOT_S)
    assert max(known.ahead(20)) <= 8.1
    assert max(from_above.ahead(20)) > 8.1


def test_even_arrivals_have_no_noise_and_random_ones_that_of_poisson():
    rng = random.Random(1)
    even, chance = Demand(), Demand()
    for _ in range(1000):
        even.observe(rng.choice([24, 25, 26]), SLOT_S)
        chance.observe(sum(rng.random() < 0.05 for _ in range(500)), SLOT_S)

    assert 0 == even.noise(5, 30)
    assert 0.5 < chance.dispersion < 1.6
    assert 0.2 < chance.noise(5, 30) < 0.6


def test_nothing_known_expects_nothing():
    assert [0.0] * 5 == Demand().ahead(5)
