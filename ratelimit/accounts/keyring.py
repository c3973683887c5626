"""The check of a request's key: its user is asked for once and remembered until any key is revoked.

Lives here: the cache that saves most requests the question.  Not here: making and revoking keys (keys).

A key never changes its user, so only a revocation can make the cache wrong: a counter of revocations is read every
POLL_S, and when it has changed, everything is forgotten.
"""

import asyncio
from collections.abc import Sequence
from importlib import resources
from typing import Any

from ratelimit.accounts.keys import EPOCH, HOLDERS, KEY_LENGTH, KEY_PREFIX, digest_of
from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis.batching import BatchedCalls
from ratelimit.redis.cluster import ClusterCalls
from ratelimit.redis.connection import Script

POLL_S = 0.5
"""Seconds between two looks at the counter of revocations: a revocation binds at most so late, plus the time of one
answer (chosen: two tiny calls a second for each worker)."""

MAX_KEYS = 100_000
"""How many keys are remembered; beyond that the oldest are forgotten (chosen: about 25 MB)."""

_KEY_OWNER = Script.of((resources.files("ratelimit.redis") / "lua" / "key_owner.lua").read_text())


class KeyRing:
    """The users of the keys on the Redis at `url`; no call waits longer than `timeout_s`.

    While Redis is away the remembered keys stay valid.  Only digests are remembered, never keys.
    """

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        self._calls = (ClusterCalls if cluster else BatchedCalls)(url, (_KEY_OWNER,), timeout_s)
        self._holders: dict[str, str] = {}  # digest -> user, oldest first
        self._epoch: int | None = None  # revocations at the last look; None = unknown, nothing may be remembered yet

    def remembered(self, key: str) -> str | None:
        """Return the user of a key that is remembered, without asking Redis."""
        return self._holders.get(digest_of(key)) if _is_ours(key) else None

    async def user_of(self, key: str) -> str | None:
        """Return the user of a key; None = the key is not valid.

        Raises LimiterUnavailableError while Redis is away, for a key that is not remembered.
        """
        if not _is_ours(key):
            return None  # Redis need not be asked
        digest = digest_of(key)
        if (known := self._holders.get(digest)) is not None:
            return known
        epoch, holder = await self._ask(digest)
        if holder is None:
            return None
        user: str = holder.decode()
        if epoch == self._epoch:  # else a key was revoked since the last look, and it may be this one
            self._holders[digest] = user
            if len(self._holders) > MAX_KEYS:
                del self._holders[next(iter(self._holders))]
        return user

    async def run(self) -> None:
        """Watch for revocations, for ever; cancel to stop."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Forget everything if a key was revoked since the last time.  While Redis is away nothing is forgotten."""
        try:
            epoch, _ = await self._ask("")
        except LimiterUnavailableError:
            return
        if epoch != self._epoch:
            self._holders.clear()
            self._epoch = epoch

    async def aclose(self) -> None:
        """Disconnect."""
        await self._calls.aclose()

    async def _ask(self, digest: str) -> Sequence[Any]:
        return await self._calls.call(_KEY_OWNER, (HOLDERS, EPOCH), (digest,))


def _is_ours(key: str) -> bool:
    return len(key) == KEY_LENGTH and key.startswith(KEY_PREFIX)
