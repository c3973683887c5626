import asyncio
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from ratelimit.redis.connection import Connector, Link, Script, pack

ONE = Script.of("return 1")


async def test_scripts_are_loaded_and_replies_arrive_as_they_come(server):
    replies: asyncio.Queue[object] = asyncio.Queue()
    lost: asyncio.Queue[Link] = asyncio.Queue()
    connection = await Connector(server.url, (ONE,)).open(5.0)
    link = Link(replies.put_nowait, lost.put_nowait, connection)
    link.write(pack("EVALSHA", ONE.sha, 0) + pack("PING"))

    assert [1, b"PONG"] == [await replies.get(), await replies.get()]

    link.abort()
    assert link is await lost.get()


async def test_a_redis_that_is_not_there_or_refuses_says_so_at_once(server, tmp_path):
    with pytest.raises((RedisError, OSError)) as absent:
        await Connector(f"unix://{tmp_path}/nobody.sock", (ONE,)).open(30.0)
    with pytest.raises(RedisError):
        await Connector(f"{server.url}?password=wrong", (ONE,)).open(30.0)

    assert not isinstance(absent.value, TimeoutError)


async def test_a_redis_that_accepts_and_says_nothing_is_given_up(tmp_path: Path):
    hung_up = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with await asyncio.start_unix_server(mute, tmp_path / "mute.sock"):
        with pytest.raises(TimeoutError):
            await Connector(f"unix://{tmp_path}/mute.sock", (ONE,)).open(0.1)
        await hung_up.wait()


def test_what_may_not_run_twice_is_told_apart():
    assert (True, False) == (ONE.repeatable, Script.of("return 1", repeatable=False).repeatable)
