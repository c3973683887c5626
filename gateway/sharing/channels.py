"""Redis as replicas use it to share: channels to send to and to hear, one clock, and one key for all.

Lives here: connections, names of channels and of the key.  Not here: what is sent and when (sharing).

Redis keeps nothing of what is published.  In a cluster every node passes on what is published at any of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.config.settings import RedisSettings
from gateway.observability.metrics import Metrics
from gateway.sharing.messages import Letter, Share, encode
from gateway.sharing.replicas import Replicas
from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis.batching import BatchedCalls, Reply
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Script

PREFIX_KEY = "forebay:{sharing}:prefix-key"
"""Holds the key of all replicas' block hashes: secret, so that no client can make prompts that collide."""

_PUBLISH = Script.of("return {redis.call('PUBLISH', ARGV[1], ARGV[2])}")
_AGREE = Script.of(
    "redis.call('SET', KEYS[1], ARGV[1], 'NX') local time = redis.call('TIME') "
    "return {redis.call('GET', KEYS[1]), time[1] * 1000000 + time[2]}"
)


class Message(NamedTuple):
    """Bytes that arrived, and whether they are for this replica alone."""

    is_letter: bool
    body: bytes


class Subscription:
    """A connection that hears what is sent to all and to one replica."""

    def __init__(self, pubsub: PubSub, own: str) -> None:
        self._pubsub = pubsub
        self._own = own.encode()

    async def next(self, limit_s: float) -> Message | None:
        """Return the next message; None when there is none for `limit_s`.  Raises RedisError and OSError."""
        found = await self._pubsub.get_message(timeout=limit_s)
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # redis-py may have taken it for the end of a time limit of its own
        return None if found is None else Message(found["channel"] == self._own, found["data"])


class Channels:
    """The channels of the replica `name`.  Connections are opened at first use."""

    def __init__(self, settings: RedisSettings, name: str, metrics: Metrics) -> None:
        self._redis = Redis.from_url(
            settings.url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=settings.timeout_s,
            socket_timeout=settings.timeout_s,
        )
        kind = ClusterCalls if settings.cluster else BatchedCalls
        self._calls = kind(settings.url, (_PUBLISH, _AGREE), settings.timeout_s)
        database = self._redis.connection_pool.connection_kwargs.get("db") or 0
        self._prefix = f"forebay:{database}:" if database else "forebay:"  # channels know no databases
        self._name = name
        self._timeout_s = settings.timeout_s
        self._metrics = metrics

    @property
    def of_all(self) -> str:
        """The name of the channel that all replicas hear."""
        return f"{self._prefix}sharing"

    def of(self, replica: str) -> str:
        """Return the name of the channel that one replica hears."""
        return f"{self._prefix}replica:{replica}"

    def tell(self, share: Share) -> asyncio.Future[Reply]:
        """Send to all; the future says whether Redis took it.  Raises LimiterUnavailableError while Redis is away."""
        return self._publish(self.of_all, share)

    def write(self, replica: str, kind: str, body: bytes) -> asyncio.Future[Reply]:
        """Send a letter to one replica, as `tell` does.  One that is gone never gets it."""
        return self._publish(self.of(replica), Letter(kind, self._name, body))

    def _publish(self, channel: str, content: Share | Letter) -> asyncio.Future[Reply]:
        message = encode(content)
        reply = self._calls.call(_PUBLISH, (PREFIX_KEY,), (channel, message))
        self._metrics.count_shared("sent", len(message))
        return reply

    async def agree(self, key: bytes) -> tuple[bytes, float]:
        """Return the key that all replicas use, which is `key` if there was none, and Redis's time in seconds.

        Raises LimiterUnavailableError.
        """
        agreed, now_us = await self._calls.call(_AGREE, (PREFIX_KEY,), (key,))
        return agreed, now_us / 1e6

    @asynccontextmanager
    async def subscribed(self) -> AsyncIterator[Subscription]:
        """Hear messages for the length of the block.  Raises RedisError and OSError."""
        own = self.of(self._name)
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self.of_all, own)
            for _ in pubsub.channels:
                if await pubsub.get_message(timeout=self._timeout_s) is None:  # it confirms a channel
                    raise TimeoutError(f"no answer within {self._timeout_s} s")
            yield Subscription(pubsub, own)

    async def aclose(self) -> None:
        """Disconnect."""
        await self._calls.aclose()
        await self._redis.aclose()


class Post:
    """Letters of one kind to other replicas."""

    def __init__(self, kind: str, channels: Channels, replicas: Replicas) -> None:
        self._kind = kind
        self._channels = channels
        self._replicas = replicas

    def alive(self, replica: str) -> bool:
        """Return whether the replica was heard of lately."""
        return self._replicas.is_alive(replica)

    async def send(self, replica: str, payload: bytes) -> None:
        """Send without waiting for the receipt.  Raises OSError when Redis did not take it."""
        try:
            await self._channels.write(replica, self._kind, payload)
        except LimiterUnavailableError as error:
            raise OSError(str(error)) from error
