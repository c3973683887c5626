"""Access-log entries that reach one worker and end the requests of another; the limiters are on a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from google.protobuf.struct_pb2 import Struct

from gateway.accounting.access_log import Entry, decode
from gateway.accounting.deliveries import AT_ONCE, WATCHED_S, Deliveries
from gateway.envoy.names import EXCHANGE_NAMESPACE
from gateway.extproc.events import Routed
from gateway.pb import access_log_service_pb2 as service
from ratelimit.limits import User
from ratelimit.redis.limiter import RedisLimiter
from tests.support.access_log import put
from tests.support.limiters import a_redis_limiter, put_user, used
from tests.support.polling import until
from tests.support.redis import RedisServer, redis_server
from tests.support.shop import REPLICA, Shop, deliveries, routed

OTHER, THIRD = "ba9876543210", "111111111111"


class PostOffice:
    """Brings what is sent to those who are `reached`, at once; `living` are the replicas that were heard of."""

    def __init__(self) -> None:
        self.living = {REPLICA, OTHER}
        self.reached: dict[str, Deliveries] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.closed = False

    def alive(self, replica: str) -> bool:
        return replica in self.living

    async def send(self, replica: str, payload: bytes) -> None:
        if self.closed:
            raise OSError
        self.sent.append((replica, payload))
        if replica in self.reached:
            self.reached[replica].receive(payload)


class Two:
    """A worker that admits requests, and another that gets their access-log entries."""

    def __init__(self, of_owner: RedisLimiter, of_other: RedisLimiter) -> None:
        self.limiter = of_owner
        self.shop = Shop(limiter=of_owner)
        self.post = PostOffice()
        self.owner = self.post.reached[REPLICA] = deliveries(self.shop, self.post)
        self.elsewhere = Shop(limiter=of_other)
        self.other = Deliveries(
            OTHER, self.elsewhere.ledger, of_other, self.post,
            clock=self.elsewhere.clock, on_error=self.elsewhere.metrics.count_error,
        )  # fmt: skip

    async def entry(self, tokens: int | None = 16, status: int = 200) -> list[Entry]:
        """Admit a request; what Envoy sends at its end, with all that it carried."""
        return entries(routed(await self.shop.admit(user="lgy")), tokens, status)

    async def uses(self, tokens: int, requests: int = 1) -> None:
        """Wait until the user has used so much."""

        async def so_much() -> bool:
            return (requests, tokens) == (await used(self.limiter, "lgy"))[1:]

        await until(so_much)

    async def reserved(self) -> int:
        return (await used(self.limiter, "lgy"))[2]


def entries(request: Routed, tokens: int | None = 16, status: int = 200) -> list[Entry]:
    message = service.StreamAccessLogsMessage()
    entry = message.http_logs.log_entry.add()
    entry.response.response_code.value = status
    put(entry, "forebay", **request.metadata[EXCHANGE_NAMESPACE])
    if tokens is not None:
        put(entry, "usage", prompt_tokens=7, completion_tokens=tokens - 7)
    return list(decode(message.SerializeToString()).entries)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def two(server: RedisServer) -> AsyncIterator[Two]:
    server.flush()
    put_user(server, User("lgy", 100, 10_000))
    async with a_redis_limiter(server) as of_owner, a_redis_limiter(server) as of_other:
        yield Two(of_owner, of_other)


async def test_an_entry_that_reaches_another_worker_ends_the_request_at_its_owner(two: Two):
    entry = await two.entry()

    two.other.take(entry)

    await two.uses(16)
    assert [REPLICA] == [replica for replica, _ in two.post.sent]
    assert (0, 9) == (len(two.shop.ledger), two.shop.sample('forebay_tokens_total{kind="output",model="m"}'))


async def test_the_entries_of_one_batch_for_one_owner_are_one_message_without_what_nobody_reads(two: Two):
    batch = [await two.entry() for _ in range(3)]
    for (entry,) in batch:
        entry.message.MergeFromString(b"\x12\x0a\x52\x08a-secret")  # HTTPRequestProperties.path, which is not ours
        put(entry.message, "forebay.response", header="a-secret")

    two.other.take([entry for entries in batch for entry in entries])

    await two.uses(48, requests=3)
    ((_, payload),) = two.post.sent
    assert b"a-secret" not in payload


async def test_an_entry_counts_once_however_often_and_wherever_it_arrives(two: Two):
    entry = await two.entry()
    for worker in (two.owner, two.other, two.owner, two.other):
        worker.take(entry)
    await two.uses(16)

    two.post.living.remove(REPLICA)
    two.other.take(entry)
    await settled()
    await two.uses(16)


async def test_an_entry_of_a_replica_that_is_gone_is_settled_by_what_the_request_carried(two: Two):
    entry = await two.entry(tokens=300)
    two.post.living.remove(REPLICA)

    two.other.take(entry)
    two.other.take(entry)

    await two.uses(300)
    await settled()
    await two.uses(300)
    assert [] == two.post.sent


async def test_a_request_that_no_pod_was_sent_is_given_back_by_whoever_learns_of_it(two: Two):
    (entry,) = await two.entry(tokens=None, status=503)
    entry.message.response.response_code_details = "no_healthy_upstream"
    two.post.living.remove(REPLICA)

    two.other.take([entry])

    await two.uses(0, requests=0)


async def test_without_reported_usage_the_estimate_of_a_replica_that_is_gone_stands(two: Two):
    entry = await two.entry(tokens=None)
    reserved = await two.reserved()
    two.post.living.remove(REPLICA)

    two.other.take(entry)

    await settled()
    assert reserved == await two.reserved()


async def test_an_owner_that_only_seemed_gone_does_not_settle_again(two: Two):
    entry = await two.entry(tokens=300)
    two.post.living.remove(REPLICA)
    two.other.take(entry)
    await two.uses(300)

    two.owner.take(entry)

    assert 0 == len(two.shop.ledger)
    await settled()
    await two.uses(300)


async def test_what_an_owner_did_not_get_before_it_died_is_settled_when_that_is_known(two: Two):
    entry = await two.entry()
    reserved = await two.reserved()
    del two.post.reached[REPLICA]  # it is dead, and was heard of a moment ago
    two.other.take(entry)
    await settled()
    assert reserved == await two.reserved()

    two.elsewhere.now_s += WATCHED_S - 0.5
    two.other.look()
    await settled()
    assert reserved == await two.reserved()
    two.post.living.remove(REPLICA)
    two.other.look()

    await two.uses(16)


async def test_what_a_living_owner_got_is_not_kept(two: Two):
    two.other.take(await two.entry())
    two.elsewhere.now_s += WATCHED_S
    two.other.look()
    assert [] == two.other._passed_on


async def test_what_an_owner_got_is_not_settled_again_when_it_dies_later(two: Two):
    two.other.take(await two.entry())
    await two.uses(16)
    two.post.living.remove(REPLICA)

    two.other.look()

    await settled()
    await two.uses(16)


async def test_what_cannot_be_sent_is_counted(two: Two):
    two.post.closed = True
    two.other.take(await two.entry())

    async def is_counted() -> bool:
        return 1 == two.elsewhere.sample('forebay_errors_total{where="delivery"}')

    await until(is_counted)


async def test_a_settlement_that_redis_does_not_take_is_counted(two: Two, server: RedisServer):
    entry = await two.entry()
    two.post.living.remove(REPLICA)
    await two.other._limiter.aclose()

    two.other.take(entry)

    async def is_counted() -> bool:
        return 1 == two.elsewhere.sample('forebay_errors_total{where="settle"}')

    await until(is_counted)


@pytest.mark.parametrize("exchange", ["", "0-abc", "x", "1-2-3-4", f"0-{OTHER}-1", "0--1"])
async def test_an_entry_of_nobodys_request_changes_nothing(two: Two, exchange: str):
    ((entry),) = await two.entry()
    reserved = await two.reserved()
    entry = entry._replace(exchange_id=exchange, metadata=Struct())
    two.post.living.remove(REPLICA)

    two.other.take([entry])
    two.owner.take([entry])

    await settled()
    assert (reserved, 1) == (await two.reserved(), len(two.shop.ledger))


async def test_what_is_passed_on_is_not_passed_on_again(two: Two):
    entry = await two.entry()
    two.post.reached[OTHER] = two.other
    foreign = [each._replace(exchange_id=f"0-{THIRD}-1") for each in entry]
    two.post.living.add(THIRD)
    two.post.reached[THIRD] = two.owner  # a message that went astray

    two.other.take(foreign)

    await settled()
    assert 1 == len(two.post.sent)


async def settled() -> None:
    """Let everything happen that is under way."""
    await asyncio.sleep(0.05)


async def test_a_long_batch_leaves_turns_of_the_loop_to_others(two: Two):
    long = [entry for _ in range(AT_ONCE + 4) for entry in await two.entry(tokens=16)]

    two.owner.take(long)

    assert 4 == len(two.shop.ledger)
    await two.uses(16 * len(long), len(long))
    assert 0 == len(two.shop.ledger)
