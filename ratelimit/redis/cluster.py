"""Calls on a Redis Cluster: each goes to the node that has its keys, in a batch with the other calls for that node.

Lives here: the slot map, when it is read again, one connection per node.  Not here: batching and deadlines (batching).

All nodes must answer: while one does not, the whole cluster counts as away.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError

from ratelimit.patience import Patience
from ratelimit.redis.batching import (
    ATTEMPTS,
    PROBE_EVERY_S,
    BatchedCalls,
    MovedElsewhereError,
    NotSentError,
    Reply,
)
from ratelimit.redis.connection import Argument, Script


class ClusterCalls:
    """The interface of `BatchedCalls` on a cluster; `url` names one of its nodes, and all nodes take its password."""

    def __init__(self, url: str, scripts: Sequence[Script], timeout_s: float) -> None:
        self._url = url
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._nodes: dict[str, BatchedCalls] = {}  # by address
        self._ranges: list[tuple[int, int, str]] = []  # first slot, last slot, address; empty = to be read again
        self._lost = False  # no node answered when the map was last read
        self._reading = asyncio.Lock()

    @property
    def up(self) -> bool:
        """Whether every node is there, as far as known."""
        return not self._lost and all(node.up for node in self._nodes.values())

    @property
    def away_because(self) -> str:
        """Why the cluster is away, or was last."""
        reasons = [f"{address}: {node.away_because}" for address, node in self._nodes.items() if not node.up]
        return ", ".join(reasons) or "no node answers"

    async def wait_up(self) -> None:
        """Return as soon as every node answers; nodes that were replaced are forgotten."""
        while not self.up:
            await asyncio.sleep(PROBE_EVERY_S)
            self._ranges = []
            await self._ask_each()
            self._lost = not self._ranges

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> asyncio.Future[Reply]:
        """Queue a call, see `BatchedCalls.call`.  Precondition: all keys are of one slot."""
        if not self.up:
            raise NotSentError(self.away_because)
        reply = asyncio.ensure_future(self._call(script, keys, arguments))
        reply.add_done_callback(_see_failure)
        return reply

    async def aclose(self) -> None:
        """Disconnect; calls still waiting fail."""
        for node in self._nodes.values():
            await node.aclose()

    async def _call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        for _ in range(2):
            node = self._node(keys[0])
            if node is None:
                await self._read_map()
                node = self._node(keys[0])
            if node is None:
                break
            try:
                return await node.call(script, keys, arguments)
            except MovedElsewhereError:
                self._ranges = []
        raise NotSentError(f"no node serves {keys[0]}")

    def _node(self, key: str) -> BatchedCalls | None:
        slot = key_slot(key.encode())
        address = next((address for first, last, address in self._ranges if first <= slot <= last), None)
        return None if address is None else self._nodes[address]

    async def _read_map(self) -> None:
        """Read the map, unless another call just did; after ATTEMPTS without an answer the cluster is away."""
        async with self._reading:
            for _ in range(ATTEMPTS):
                if self._ranges or not await self._ask_each():
                    break
            self._lost = not self._ranges

    async def _ask_each(self) -> bool:
        """Ask the nodes for the map until one answers.  Return whether asking again makes sense: a node was silent."""
        silent = False
        for url in [self._url, *map(self._url_of, self._nodes)]:
            try:
                async with Patience(self._timeout_s / ATTEMPTS):
                    await self._take(await self._ask(url), urlsplit(url).hostname or "")
            except TimeoutError:
                silent = True
            except (RedisError, OSError):
                continue
            else:
                return False
        return silent

    async def _ask(self, url: str) -> Any:
        pool = ConnectionPool.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    async def _take(self, slots: Any, asked: str) -> None:
        """Take over an answer of CLUSTER SLOTS.

        An entry is first slot, last slot, the master (host, port, ...), its replicas.  An empty host means `asked`.
        """
        ranges = []
        for first, last, (host, port, *_), *_ in slots:
            name = (host.decode() if host else "") or asked
            ranges.append((first, last, f"[{name}]:{port}" if ":" in name else f"{name}:{port}"))
        addresses = {address for _, _, address in ranges}
        gone = [self._nodes.pop(address) for address in list(self._nodes) if address not in addresses]
        for address in addresses - self._nodes.keys():
            url = self._url_of(address)
            self._nodes[address] = BatchedCalls(url, self._scripts, self._timeout_s)
        self._ranges = ranges
        for node in gone:
            await node.aclose()

    def _url_of(self, address: str) -> str:
        parts = urlsplit(self._url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}{address}"))


def _see_failure(reply: asyncio.Future[Reply]) -> None:
    """Mark a failure as seen: asyncio would report it when nobody awaits the reply."""
    if not reply.cancelled():
        reply.exception()
