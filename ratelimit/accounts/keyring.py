"""The check of a request's key: its sender is asked for once and remembered until any key is revoked or changed.

Lives here: the cache that saves most requests the question.  Not here: making and revoking keys (keys).

A key never changes its user, so only a revocation or a change of terms can make the cache wrong: a counter of both is
read every POLL_S, and when it has changed, everything is forgotten.  A key expires by this machine's clock.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

from ratelimit.accounts.keys import EPOCH, HOLDERS, KEY_LENGTH, KEY_PREFIX, TERMS, digest_of
from ratelimit.accounts.sender import Sender
from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis.batching import BatchedCalls
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Script

POLL_S = 0.5
"""Seconds between two looks at the counter of changes: a revocation binds at most so late, plus the time of one
answer (chosen: two tiny calls a second for each worker)."""

MAX_KEYS = 100_000
"""How many keys are remembered; beyond that the oldest are forgotten (chosen: about 25 MB)."""

_KEY_OWNER = Script.of((resources.files("ratelimit.redis") / "lua" / "key_owner.lua").read_text())


class KeyRing:
    """The senders of the keys on the Redis at `url`; no call waits longer than `timeout_s`.

    While Redis is away the remembered keys stay valid.  Only digests are remembered, never keys.  `clock` is in seconds
    since 1970.
    """

    def __init__(self, url: str, timeout_s: float, clock: Callable[[], float], *, cluster: bool = False) -> None:
        self._calls = (ClusterCalls if cluster else BatchedCalls)(url, (_KEY_OWNER,), timeout_s)
        self._clock = clock
        self._senders: dict[str, Sender] = {}  # by digest, oldest first
        self._epoch: int | None = None  # changes at the last look; None = unknown, nothing may be remembered yet

    def remembered(self, key: str) -> Sender | None:
        """Return the sender of a valid key that is remembered, without asking Redis."""
        return self._valid(self._senders.get(digest_of(key))) if _is_ours(key) else None

    async def sender_of(self, key: str) -> Sender | None:
        """Return the sender of a key; None = the key is not valid.

        Raises LimiterUnavailableError while Redis is away, for a key that is not remembered.
        """
        if not _is_ours(key):
            return None  # Redis need not be asked
        digest = digest_of(key)
        if (known := self._senders.get(digest)) is not None:
            return self._valid(known)
        epoch, user, terms = await self._ask(digest)
        if user is None:
            return None
        sender = _sender(user.decode(), terms)
        if epoch == self._epoch:  # else a key was changed since the last look, and it may be this one
            self._senders[digest] = sender
            if len(self._senders) > MAX_KEYS:
                del self._senders[next(iter(self._senders))]
        return self._valid(sender)

    def _valid(self, sender: Sender | None) -> Sender | None:
        is_over = sender is not None and sender.expires_at is not None and self._clock() >= sender.expires_at
        return None if is_over else sender

    async def run(self) -> None:
        """Watch for changes, for ever; cancel to stop."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Forget everything if a key was changed since the last time.  While Redis is away nothing is forgotten."""
        try:
            epoch, *_ = await self._ask("")
        except LimiterUnavailableError:
            return
        if epoch != self._epoch:
            self._senders.clear()
            self._epoch = epoch

    async def aclose(self) -> None:
        """Disconnect."""
        await self._calls.aclose()

    async def _ask(self, digest: str) -> Sequence[Any]:
        return await self._calls.call(_KEY_OWNER, (HOLDERS, EPOCH, TERMS), (digest,))


def _sender(user: str, stored: bytes | None) -> Sender:
    """Return a key's sender; one that was made before keys had terms has none."""
    if stored is None:
        return Sender(user)
    terms = json.loads(stored)
    models = terms.get("models")
    return Sender(user, terms["id"], terms.get("expires_at"), None if models is None else frozenset(models))


def _is_ours(key: str) -> bool:
    return len(key) == KEY_LENGTH and key.startswith(KEY_PREFIX)
