"""Guesses while Redis is away: a replica decides by its share of the limits."""

from ratelimit.kinds import Amounts
from ratelimit.limits import Admitted, Refused, User
from tests.support.fallbacks import a_fallback, come_back, leave
from tests.support.limiters import a_charge, put_user, used


async def test_alone_a_guess_shrinks_to_the_replicas_share_and_what_is_certain_does_not(mortal_server):
    put_user(mortal_server, User("u", tpm=100))
    async with a_fallback(mortal_server) as one, a_fallback(mortal_server) as two:
        for limiter in (one, two, one):
            await limiter._primary.beat()
            await limiter.check(a_charge("u", 0))
            await limiter.reserve(a_charge("u", 101))
        await leave(mortal_server, one)

        guess = await one.reserve(a_charge("u", 500, certain_tokens=10))
        certain = [await two.reserve(a_charge("u", 500, certain_tokens=tokens)) for tokens in (60, 101)]

        assert isinstance(guess, Admitted)
        assert 50 == guess.reservation.amounts.tokens
        assert [True, False] == [isinstance(each, Refused) and each.retry_after_s is not None for each in certain]
        await one.settle(guess.reservation, Amounts(1, 20))
        await come_back(mortal_server, one)
        assert (User("u", None, 100), 1, 20) == await used(one, "u")
