"""The money that tokens cost: whole NANO parts, rounded up, never more than the bound."""

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.prices import FREE, Prices

TOKENS = st.integers(0, 10**7)
PRICE = st.floats(0, 1000)


def test_a_cost_is_the_sum_of_input_cached_input_and_output():
    prices = Prices(input=0.15, output=0.6, cached_input=0.075)

    assert 1_000_000 * 150 + 10 * 600 == prices.cost(1_000_000, 10)
    assert 600_000 * 150 + 400_000 * 75 == prices.cost(1_000_000, 0, 400_000)
    assert 0 == FREE.cost(10**6, 10**6, 10)


def test_without_a_price_of_their_own_cached_tokens_are_as_others():
    assert Prices(input=2).cost(100, 0) == Prices(input=2).cost(100, 0, 50)


def test_what_a_token_costs_less_than_a_part_is_rounded_up():
    assert 1 == Prices(input=0.0001).cost(1, 0)
    assert 3 == Prices(input=0.001).cost(3, 0)


def test_no_more_tokens_are_cached_than_there_are():
    assert Prices(input=2, cached_input=1).cost(5, 0, 5) == Prices(input=2, cached_input=1).cost(5, 0, 10**9)


@given(prices=st.builds(Prices, PRICE, PRICE, st.none() | PRICE), tokens=TOKENS, cached=TOKENS, output=TOKENS)
def test_a_cost_never_exceeds_the_bound(prices: Prices, tokens: int, cached: int, output: int):
    most = prices.most_for_prompt(tokens) + prices.cost(0, output)

    assert 0 <= prices.cost(tokens, output, cached) <= most + 1
