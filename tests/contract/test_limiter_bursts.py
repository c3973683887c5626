"""A thousand charges at once from four processes, and bursts around the edge of a minute: ours beside naive limiters.

The table in docs/limits-explained.md is what this prints with `-s` and FOREBAY_TABLE=1.
"""

import os
import sys
from collections.abc import Iterator

import pytest

from ratelimit.limits import User
from tests.support.burst import CHECKED, FIXED, RPM, SLIDING, TPM, USER, a_kind, admitted, bursts
from tests.support.limiters import Clock, put_user
from tests.support.redis import RedisServer, redis_server

TABLE = "FOREBAY_TABLE" in os.environ
NAIVE_ROUNDS = 5 if TABLE else 1
"""One round is enough to see that a naive limiter lets too much through."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def played(server: RedisServer, kind: str, tokens: int, rounds: int) -> list[int]:
    async with bursts(server, kind, tokens) as ready:
        counts = [await ready.round() for _ in range(rounds)]
    sys.stdout.write(
        f"{kind}, {tokens} tokens each: {min(counts)} to {max(counts)} of 1,000 admitted in {rounds} rounds\n"
    )
    return counts


async def test_twenty_bursts_admit_exactly_the_requests_of_the_limit(server):
    assert [RPM] * 20 == await played(server, SLIDING, 1, 20)


async def test_twenty_bursts_admit_no_more_tokens_than_the_limit(server):
    assert [TPM // 300] * 20 == await played(server, SLIDING, 300, 20)


async def test_checking_first_and_counting_afterwards_lets_more_through(server):
    assert max(await played(server, CHECKED, 1, NAIVE_ROUNDS)) > RPM
    assert max(await played(server, CHECKED, 300, NAIVE_ROUNDS)) * 300 > TPM


async def around_the_edge(server: RedisServer, kind: str) -> int:
    """Admitted in the second around the full minute."""
    server.flush()
    put_user(server, User(USER, RPM, TPM))
    clock = Clock()
    async with a_kind(kind, server.url, clock) as admits:
        clock.now_s += 60 - clock.now_s % 60 - 0.5
        before = await admitted(admits, 2 * RPM, 1)
        clock.now_s += 1
        total = before + await admitted(admits, 2 * RPM, 1)
    sys.stdout.write(f"{kind}: {total} requests in one second around the edge of a minute\n")
    return total


async def test_a_burst_on_both_sides_of_a_minute_admits_no_more_than_the_limit(server):
    assert RPM == await around_the_edge(server, SLIDING)


async def test_fixed_windows_let_twice_the_limit_through_around_their_edge(server):
    assert 2 * RPM == await around_the_edge(server, FIXED)
    if TABLE:
        await played(server, FIXED, 1, NAIVE_ROUNDS)
        await played(server, FIXED, 300, NAIVE_ROUNDS)
