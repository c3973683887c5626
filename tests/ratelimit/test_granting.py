"""Guesses shrink to what could ever be admitted, bounds to what is left."""

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.granting import granted, within
from ratelimit.kinds import RPM, TPM, USER_BUDGETS, Amounts
from ratelimit.limits import Bounds, Charge

COST = USER_BUDGETS[1]


def test_a_guess_shrinks_and_what_is_certain_does_not():
    charge = Charge("u", Amounts(1, 50), certain=Amounts(1, 20))

    assert [30, 20, 50] == [within(charge, charge.amounts, {TPM: limit}).tokens for limit in (30, 10, None)]
    assert 50 == within(charge._replace(certain=None), charge.amounts, {TPM: 10}).tokens


def test_bounds_are_granted_what_is_left_and_at_least_the_prompt_and_a_token():
    bounds = Bounds(Amounts(1, 10), Amounts(1, 100))

    assert [40, 11, 100] == [granted(bounds, [(RPM, 0), (TPM, left)]).tokens for left in (40, -5, 500)]


@given(
    prompt_cost=st.integers(0, 50),
    left=st.integers(-10, 10**6),
    price=st.floats(0.001, 1e4),
    most=st.integers(1, 10**6),
)
def test_money_buys_as_many_tokens_as_it_can_pay(prompt_cost: int, left: int, price: float, most: int):
    bounds = Bounds(Amounts(1, 0, prompt_cost), Amounts(1, most), price)

    amounts = granted(bounds, [(COST, left)])

    assert amounts.cost <= left or amounts == bounds.least
    assert amounts.tokens == most or bounds.granting(amounts.tokens + 2).cost > left
