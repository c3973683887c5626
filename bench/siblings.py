"""`python -m bench.siblings URL PODS COUNT RATE SECONDS`: the siblings of a replica that is measured.

Lives here: their messages, made beforehand by real fleets in virtual time and then published when they are due, and as
many subscriptions, which read what they hear and drop it.  So Redis has the work of all, and the measured replica hears
as much as it would among real ones.  Not here: the measurement (sharing).
"""

import asyncio
import random
import sys
import time
from collections.abc import Sequence

import uvloop
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from bench.traffic import Traffic, a_replica
from gateway.config.settings import SharingSettings
from gateway.sharing.messages import Share, encode
from gateway.sharing.sharing import HEARTBEAT_S

CHANNEL = "forebay:sharing"
READ_BYTES = 1 << 20


def messages_of(name: str, pods: int, rate: float, seconds: float, others: int) -> list[tuple[float, bytes]]:
    """Return when each message of a sibling is due, in seconds from the start, and its bytes."""
    rng = random.Random(name)
    fleet, outbox = a_replica(name, pods, asyncio.Event())
    outbox.set_siblings(others, 0.0)
    traffic = Traffic(fleet, "random", rate, 0.0, rng)
    interval_s = SharingSettings().interval_s if rate else HEARTBEAT_S
    messages: list[tuple[float, bytes]] = []
    now_s = rng.random() * interval_s
    while now_s < seconds:
        traffic.advance(now_s)
        share = outbox.take(now_s) or Share(name, 0)
        messages.append((now_s, encode(replace(share, serial=len(messages) + 1))))
        now_s += interval_s
    return messages


async def hear(connection: AbstractConnection) -> None:
    """Subscribe, and drop what comes."""
    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
    await connection.send_command("SUBSCRIBE", CHANNEL)
    reader = connection._reader
    assert reader is not None  # noqa: S101 - connected
    while await reader.read(READ_BYTES):
        pass


async def publish(redis: "Redis", messages: Sequence[tuple[float, bytes]]) -> None:
    """Publish each message when it is due."""
    start_s = time.monotonic()
    for due_s, message in messages:
        await asyncio.sleep(max(0.0, start_s + due_s - time.monotonic()))
        await redis.publish(CHANNEL, message)


async def main(url: str, pods: int, count: int, rate: float, seconds: float) -> None:
    """Publish for `seconds`, from the moment on at which a line arrives on standard input."""
    names = [f"{number:012x}" for number in range(count)]
    told = [messages_of(name, pods, rate, seconds, count) for name in names]
    whole = sorted((message for messages in told for message in messages), key=lambda each: each[0])
    async with Redis.from_url(url, protocol=2) as redis:
        connections = [redis.connection_pool.make_connection() for _ in names]  # type: ignore[no-untyped-call]  # redis-py
        hearing = [asyncio.create_task(hear(connection)) for connection in connections]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await publish(redis, whole)
        for task, connection in zip(hearing, connections, strict=True):
            task.cancel()
            await connection.disconnect(nowait=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
