"""A thousand requests at once through Envoy and four workers: exactly what the limits allow, round after round."""

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from tests.support.raw_http import request
from tests.support.stack import Stack, running_stack

ROUNDS, AT_ONCE, RPM, TPM = 20, 1000, 100, 10_000


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("four-workers"), workers=4, engines=3) as running:
        yield running


async def burst(stack: Stack, user: str, max_tokens: int) -> list[bytes]:
    """The statuses of AT_ONCE requests of one user, each on a connection of its own; all are open before any asks."""
    port = int(stack.variables["GATEWAY"].rpartition(":")[2])
    wire = request("/v1/chat/completions", orjson.dumps(stack.body(max_tokens=max_tokens)), b"user: " + user.encode())
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(AT_ONCE)]
    for _, writer in opened:
        writer.write(wire)
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(reader.read() for reader, _ in opened))
    for _, writer in opened:
        writer.close()
    return [answer[9:12] for answer in answers]


async def test_a_thousand_at_once_are_admitted_up_to_the_requests_allowed_and_no_further(four_workers: Stack):
    admitted = []
    for _ in range(ROUNDS):
        statuses = await burst(four_workers, four_workers.user(rpm=RPM), 1)
        assert AT_ONCE == statuses.count(b"200") + statuses.count(b"429")
        admitted.append(statuses.count(b"200"))

    assert [RPM] * ROUNDS == admitted


async def test_a_thousand_at_once_use_no_more_than_the_tokens_allowed(four_workers: Stack):
    for _ in range(ROUNDS):
        user = four_workers.user(tpm=TPM)
        statuses = await burst(four_workers, user, 90)
        assert 0 < statuses.count(b"200") < AT_ONCE
        four_workers.settled()
        requests, tokens = four_workers.usage(user)
        assert statuses.count(b"200") == requests
        assert tokens <= TPM
