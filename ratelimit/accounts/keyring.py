"""Whose key is it: asked of Redis once, remembered until any key is revoked.

Lives here: the memory that keeps Redis off the way of a request.  Not here: making and revoking keys (keys).
A key never changes hands, so only a revocation can make the memory wrong: a counter of revocations is read every
POLL_S, and when it moved, everything is forgotten.
"""

import asyncio
from collections.abc import Sequence
from importlib import resources
from typing import Any

from ratelimit.accounts.keys import EPOCH, HOLDERS, KEY_LENGTH, KEY_PREFIX, digest_of
from ratelimit.limits import LimiterUnavailableError
from ratelimit.redis.batching import BatchedCalls, Script
from ratelimit.redis.cluster import ClusterCalls

POLL_S = 0.5
"""With the time of one answer, how late a revocation binds.  Chosen: two tiny calls a second for each worker."""

MAX_KEYS = 100_000
"""Keys remembered, the ones first seen last.  Chosen: about 25 MB."""

_KEY_OWNER = Script.of((resources.files("ratelimit.redis") / "lua" / "key_owner.lua").read_text())


class KeyRing:
    """Keys on the Redis at `url`; no call waits longer than `timeout_s`.

    While Redis is away the keys remembered here go on.  What is remembered is digests, never keys.
    """

    def __init__(self, url: str, timeout_s: float, *, cluster: bool = False) -> None:
        self._calls = (ClusterCalls if cluster else BatchedCalls)(url, (_KEY_OWNER,), timeout_s)
        self._holders: dict[str, str] = {}  # digest -> user, the longest known first
        self._epoch: int | None = None  # None = nothing may be remembered yet

    async def user_of(self, key: str) -> str | None:
        """The user whose key it is, None when it is nobody's.

        Raises LimiterUnavailableError for a key not remembered while Redis is away.
        """
        if len(key) != KEY_LENGTH or not key.startswith(KEY_PREFIX):
            return None  # Redis need not be asked
        digest = digest_of(key)
        if (known := self._holders.get(digest)) is not None:
            return known
        epoch, holder = await self._ask(digest)
        if holder is None:
            return None
        user: str = holder.decode()
        if epoch == self._epoch:  # else a key was revoked, and this may be the one
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
        """Forget everything if a key was revoked since the last time; if Redis does not say, remember it all."""
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
