import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis import batching as batching_module
from ratelimit.redis.batching import ATTEMPTS, BatchedCalls, NotSentError
from ratelimit.redis.connection import Script
from tests.support.line import a_line
from tests.support.polling import until
from tests.support.redis import RedisServer

ECHO = Script.of("return {tonumber(ARGV[1])}")
COUNT = Script.of("return {redis.call('INCR', KEYS[1])}")
ONCE = Script.of("return {redis.call('INCR', KEYS[1]), nil}", repeatable=False)
FAIL = Script.of("return redis.error_reply('MISCONF disk is full')")

NOISE_S = 1.5
"""How much later than due something may be on a busy machine."""


@asynccontextmanager
async def a_connection(server: RedisServer, timeout_s: float = 5.0) -> AsyncIterator[BatchedCalls]:
    batched = BatchedCalls(server.url, (ECHO, COUNT, FAIL), timeout_s)
    try:
        yield batched
    finally:
        await batched.aclose()


async def echo(batched: BatchedCalls, number: int) -> int:
    return (await batched.call(ECHO, (), (number,)))[0]


def reads(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_reads_processed"])


async def test_each_caller_gets_its_own_reply(server):
    async with a_connection(server) as batched:
        assert list(range(500)) == await asyncio.gather(*(echo(batched, i) for i in range(500)))


async def test_the_calls_of_one_tick_reach_redis_in_one_read(server):
    async with a_connection(server) as batched:
        await asyncio.gather(echo(batched, 0), echo(batched, 0))
        idle = reads(server)
        looking = reads(server) - idle

        await asyncio.gather(*(echo(batched, i) for i in range(100)))

        assert 1 == reads(server) - idle - 2 * looking


async def test_calls_made_while_a_batch_is_out_go_together_in_the_next(server):
    async with a_connection(server) as batched:
        await echo(batched, 0)
        first = asyncio.create_task(echo(batched, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        later = [asyncio.create_task(echo(batched, i)) for i in (2, 3)]

        assert [1, 2, 3] == await asyncio.gather(first, *later)


async def test_calls_run_in_the_order_they_were_made(server):
    async with a_connection(server) as batched:
        calls = [batched.call(COUNT, ("n",), ()) for _ in range(50)]
        await asyncio.sleep(0)
        calls += [batched.call(COUNT, ("n",), ()) for _ in range(50)]

        assert [[i] for i in range(1, 101)] == await asyncio.gather(*calls)


async def test_a_failure_that_nobody_awaits_is_not_reported(mortal_server):
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with a_connection(mortal_server) as batched:
        await echo(batched, 0)
        lost = batched.call(ECHO, (), (1,))
        mortal_server.kill()
        await until(lost.done)

        del lost
    gc.collect()

    assert [] == reported


async def test_a_failing_script_fails_its_own_caller_only_and_redis_counts_as_up(server):
    async with a_connection(server) as batched:
        before, failed, after = (
            batched.call(ECHO, (), (1,)),
            batched.call(FAIL, (), ()),
            batched.call(ECHO, (), (2,)),
        )

        with pytest.raises(LimiterUnavailableError, match="disk is full"):
            await failed

        assert ([1], [2]) == (await before, await after)
        assert batched.up


async def test_what_cannot_be_encoded_fails_its_own_caller_only(server):
    async with a_connection(server) as batched:
        good = batched.call(ECHO, (), (1,))
        with pytest.raises(ValueError, match="surrogates"):
            batched.call(ECHO, ("\ud800",), (2,))

        assert [1] == await good


async def test_a_caller_that_left_disturbs_nobody(server):
    async with a_connection(server) as batched:
        gone = asyncio.create_task(echo(batched, 1))
        stays = asyncio.create_task(echo(batched, 2))
        await asyncio.sleep(0)
        gone.cancel()

        assert 2 == await stays


async def test_scripts_that_redis_forgot_run_once_all_the_same(server):
    async with a_connection(server) as batched:
        await batched.call(COUNT, ("n",), ())
        with server.client() as client:
            client.script_flush()

        replies = await asyncio.gather(*(batched.call(COUNT, ("n",), ()) for _ in range(10)), echo(batched, 7))

        assert [*([i] for i in range(2, 12)), 7] == replies


async def test_a_redis_restarted_while_nobody_asked_is_not_noticed(mortal_server):
    async with a_connection(mortal_server) as batched:
        await echo(batched, 1)
        mortal_server.kill()
        mortal_server.start()
        await asyncio.sleep(0.01)  # lets the loop see the end of the stream

        assert 2 == await echo(batched, 2)
        assert batched.up


async def test_a_redis_that_is_not_there_is_away_until_it_comes(mortal_server):
    mortal_server.kill()
    async with a_connection(mortal_server) as batched:
        with pytest.raises(NotSentError):
            await echo(batched, 1)
        assert not batched.up

        mortal_server.start()
        await asyncio.wait_for(batched.wait_up(), 10)

        assert 2 == await echo(batched, 2)


class Busy(asyncio.Protocol):
    """Whatever it receives keeps it busy."""

    def data_received(self, data: bytes) -> None:
        time.sleep(0.2)


def test_a_loop_that_was_kept_from_running_takes_the_replies_that_came_meanwhile(server):
    async def kept() -> tuple[list[list[int]], bool]:
        near, far = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(Busy, sock=near)
        with far:
            async with a_connection(server, timeout_s=0.05) as batched:
                await echo(batched, 0)
                calls = [batched.call(ECHO, (), (number,)) for number in range(20)]
                asyncio.get_running_loop().call_soon(far.send, b"x")  # right after they were sent
                replies = await asyncio.gather(*calls)
                transport.abort()
                return replies, batched.up

    assert ([[number] for number in range(20)], True) == uvloop.run(kept())  # whose timers come before what can be read


async def test_a_silent_redis_is_found_out_in_its_time_and_costs_nothing_while_it_is_away(mortal_server):
    async with a_connection(mortal_server, timeout_s=0.4) as batched:
        await echo(batched, 0)
        mortal_server.pause()
        asked_s = time.monotonic()
        with pytest.raises(LimiterUnavailableError, match=r"no answer within 0\.4 s") as caught:
            await echo(batched, 1)

        assert not isinstance(caught.value, NotSentError)  # it may run when Redis goes on
        assert 0.39 < time.monotonic() - asked_s < 0.4 + NOISE_S
        for _ in range(1000):
            with pytest.raises(NotSentError, match="no answer within"):
                batched.call(ECHO, (), (1,))

        mortal_server.resume()
        await asyncio.wait_for(batched.wait_up(), 10)
        assert 2 == await echo(batched, 2)


async def test_a_redis_that_stood_still_for_less_than_its_time_is_waited_for_and_runs_every_call_once(mortal_server):
    async with a_connection(mortal_server, timeout_s=2.0) as batched:
        await batched.call(COUNT, ("n",), ())
        mortal_server.pause()
        out = batched.call(COUNT, ("n",), ())
        await asyncio.sleep(1.2)  # long enough for two attempts on other connections
        waiting = batched.call(COUNT, ("n",), ())
        mortal_server.resume()

        assert ([2], [3]) == (await out, await waiting)
        assert [4] == await batched.call(COUNT, ("n",), ())
        assert batched.up


async def test_calls_waiting_behind_a_lost_batch_are_known_not_to_have_run(mortal_server):
    async with a_connection(mortal_server, timeout_s=0.3) as batched:
        await batched.call(COUNT, ("n",), ())
        mortal_server.pause()
        out = asyncio.ensure_future(batched.call(COUNT, ("n",), ()))
        await asyncio.sleep(0.05)
        waiting = batched.call(COUNT, ("n",), ())

        with pytest.raises(NotSentError):
            await waiting
        with pytest.raises(LimiterUnavailableError):
            await out

        mortal_server.resume()
        await asyncio.wait_for(batched.wait_up(), 10)
        assert [3] == await batched.call(COUNT, ("n",), ())  # the first, the one that was out, this one


async def test_killing_redis_under_load_fails_or_answers_every_call(mortal_server):
    async with a_connection(mortal_server) as batched:

        async def ask(i: int) -> bool:
            await asyncio.sleep(i / 10_000)
            try:
                return i == await echo(batched, i)
            except LimiterUnavailableError:
                return False

        calls = [asyncio.create_task(ask(i)) for i in range(2000)]
        await calls[300]
        mortal_server.kill()
        results = await asyncio.gather(*calls)

        assert all(results[:300])
        assert not any(results[-100:])


async def test_closing_fails_the_calls_still_waiting(mortal_server):
    batched = BatchedCalls(mortal_server.url, (ECHO,), 5.0)
    await echo(batched, 0)
    mortal_server.pause()
    waiting = [asyncio.ensure_future(batched.call(ECHO, (), (i,))) for i in range(3)]
    await asyncio.sleep(0.01)

    await batched.aclose()

    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, LimiterUnavailableError) for result in results)
    with pytest.raises(NotSentError):
        batched.call(ECHO, (), (1,))


@pytest.mark.parametrize("delay_s", [0.1, 0.8])  # less and more than one attempt may take
@pytest.mark.parametrize("always", [True, False])
async def test_a_redis_that_is_slow_is_not_away(server, tmp_path, delay_s, always):
    async with a_line(server, tmp_path / "line.sock") as line:
        batched = BatchedCalls(line.url, (ECHO, COUNT), timeout_s=3.0)
        line.delay_s = delay_s if always else 0.0
        await echo(batched, 0)
        line.delay_s = delay_s

        async def ask(number: int) -> int:
            await asyncio.sleep(number * 0.01)
            return await echo(batched, number)

        assert list(range(50)) == await asyncio.gather(*(ask(number) for number in range(50)))
        assert batched.up
        assert [[1], [2]] == [await batched.call(COUNT, ("n",), ()) for _ in range(2)]
        await batched.aclose()


async def test_a_line_that_is_cut_is_replaced_and_what_may_run_twice_is_asked_again(server, tmp_path):
    async with a_line(server, tmp_path / "line.sock") as line:
        batched = BatchedCalls(line.url, (ECHO, COUNT, ONCE), timeout_s=5.0)
        await echo(batched, 0)
        line.delay_s = 0.2
        repeated, once = batched.call(COUNT, ("n",), ()), batched.call(ONCE, ("m",), ())
        await asyncio.sleep(0.1)
        waiting = batched.call(ONCE, ("m",), ())
        line.cut()

        with pytest.raises(LimiterUnavailableError, match="closed the connection") as caught:
            await once
        assert not isinstance(caught.value, NotSentError)
        assert ([2], [2]) == (await repeated, await waiting)
        assert (batched.up, 2) == (True, line.connections)
        await batched.aclose()


async def test_a_connection_that_went_mute_is_replaced_when_redis_answers_on_another(server, tmp_path):
    async with a_line(server, tmp_path / "line.sock") as line:
        batched = BatchedCalls(line.url, (ECHO,), timeout_s=1.0)
        await echo(batched, 0)
        line.mute.add(1)

        asked_s = time.monotonic()
        assert 1 == await echo(batched, 1)
        assert 0.49 < time.monotonic() - asked_s < 0.5 + NOISE_S  # its attempt, and as long again
        assert batched.up
        await batched.aclose()


async def test_that_no_further_connection_is_accepted_is_no_proof_either(server, tmp_path):
    async with a_line(server, tmp_path / "line.sock") as line:
        batched = BatchedCalls(line.url, (ECHO,), timeout_s=1.0)
        await echo(batched, 0)
        line.delay_s, line.accepts = 0.7, False

        assert 1 == await echo(batched, 1)
        assert batched.up
        await batched.aclose()


async def test_a_line_that_is_cut_again_and_again_is_away_in_the_end(server, tmp_path):
    async with a_line(server, tmp_path / "line.sock") as line:
        batched = BatchedCalls(line.url, (ECHO,), timeout_s=5.0)
        await echo(batched, 0)
        line.delay_s = 0.05
        asking = asyncio.ensure_future(batched.call(ECHO, (), (1,)))
        while not asking.done():
            cut = line.connections
            line.mute.add(cut)
            line.cut()
            await until(lambda cut=cut: line.connections > cut or asking.done())

        with pytest.raises(LimiterUnavailableError):
            await asking
        assert ATTEMPTS >= line.connections - 1
        await batched.aclose()


async def test_a_redis_that_is_too_slow_again_and_again_is_left_alone_for_longer_each_time(mortal_server, monkeypatch):
    monkeypatch.setattr(batching_module, "PROBE_EVERY_S", 0.05)
    async with a_connection(mortal_server, timeout_s=0.2) as batched:
        for failures in range(5):
            mortal_server.pause()
            with pytest.raises(LimiterUnavailableError):
                await echo(batched, 0)
            mortal_server.resume()
            failed_s = time.monotonic()
            await batched.wait_up()
            assert time.monotonic() - failed_s > 0.9 * 0.05 * 2**failures - 0.01

        assert 1 == await echo(batched, 1)
        assert 0 == batched._absences
