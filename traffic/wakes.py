"""Wakes: gateways tell whoever scales a model that requests wait for its first replica (docs/contracts.md, section 6).

A wake is a message on a channel, for those who listen, and a key that expires, for those who come later.  Gateways
repeat both while requests wait, so that a lost one costs a second.  The other way, who scales a model from zero
promises it to the gateways by a key that expires: without it nobody would start a replica, so nothing may wait.

Lives here: keys, the channel, who hears what.  Not here: which requests wait (gateway.admission), what is started
(controllers, forebay.local).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing

import structlog

from traffic.connection import Connection, RedisAwayError

log = structlog.get_logger("wakes")

REPEAT_S = 1.0
"""Seconds between two wakes while requests wait (chosen: the first is told at once, the others are for outages)."""
WAKE_S = 5
"""Seconds for which a wake is kept (chosen: a few repetitions, and no start long after the last client has gone)."""
PROMISE_S = 60
"""Seconds for which a promise holds; whoever gave it repeats it well within them (chosen: the change of a leader)."""
AGAIN_S = 1.0
"""Pause before a lost channel is subscribed to again, in seconds (chosen: as long as a wake is repeated after)."""

_PUBLISH = "redis.call('SET', KEYS[1], '', 'EX', ARGV[1]) return redis.call('PUBLISH', ARGV[2], ARGV[3])"
"""In one step, so that who hears the message finds the key."""


def wake_key(model: str) -> str:
    """Return the key that is there while requests wait for a replica of the model."""
    return f"forebay:wake:{model}"


def promise_key(model: str) -> str:
    """Return the key that is there while somebody starts replicas of the model when it is woken."""
    return f"forebay:wake-promise:{model}"


class Wakes:
    """The wakes behind `connection`.  All methods but `listen` may raise RedisAwayError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(self, model: str) -> None:
        """Tell that requests wait for a replica of the model."""
        async with self._connection.calls() as redis:
            await redis.eval(_PUBLISH, 1, wake_key(model), WAKE_S, self._channel, model)

    async def waiting(self, models: Collection[str]) -> frozenset[str]:
        """Return those of the models for which requests wait, or waited up to `WAKE_S` ago."""
        return await self._present(models, wake_key)

    async def promise(self, models: Collection[str]) -> None:
        """Promise the gateways that these models get a replica when they are woken; holds for `PROMISE_S`."""
        async with self._connection.calls() as redis, redis.pipeline(transaction=False) as pipe:
            for model in models:
                pipe.set(promise_key(model), "", ex=PROMISE_S)
            await pipe.execute()

    async def promised(self, models: Collection[str]) -> frozenset[str]:
        """Return those of the models that somebody starts replicas of when they are woken."""
        return await self._present(models, promise_key)

    async def listen(self) -> AsyncGenerator[str, None]:
        """Yield the model of every wake, for ever.

        A lost channel is subscribed to again; wakes of the meantime are found by `waiting`, or are repeated.
        """
        is_heard = True
        while True:
            try:
                async with aclosing(self._connection.messages(self._channel)) as messages:
                    async for message in messages:
                        is_heard = True
                        yield message.decode(errors="replace")
            except RedisAwayError as error:
                if is_heard:
                    log.warning("wakes_not_heard", why=str(error))
                is_heard = False
            await asyncio.sleep(AGAIN_S)

    @property
    def _channel(self) -> str:
        return self._connection.channel("wakes")

    async def _present(self, models: Collection[str], key_of: Callable[[str], str]) -> frozenset[str]:
        async with self._connection.calls() as redis, redis.pipeline(transaction=False) as pipe:
            for model in models:
                pipe.exists(key_of(model))
            found = await pipe.execute()
        return frozenset(model for model, is_there in zip(models, found, strict=True) if is_there)
