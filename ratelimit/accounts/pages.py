"""Lists of records by their names, a page at a time.

Lives here: scanning the keys with one prefix.  Not here: which records those are (users, groups).
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from ratelimit.patience import Patience

SCAN_PAGE = 1000
"""How many keys a list reads at a time (chosen: well under a millisecond of Redis)."""

Read = TypeVar("Read")


class Pages(Generic[Read]):
    """The records on `redis` under the keys that begin with `prefix`, of which `read` makes values.

    `read` takes a record's name and what is stored, and returns None for what cannot be read, which no list has.
    """

    def __init__(
        self, redis: Any, prefix: str, read: Callable[[str, bytes | str | None], Read | None], *, cluster: bool
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._read = read
        self._cluster = cluster

    async def list(self, after: str, limit: int | None, patience: Patience) -> list[Read]:
        """Return records by name, the first `limit` after the name `after`.

        A page costs a scan of all keys, in steps that hold up neither Redis nor this process.
        """
        found: dict[str, Read] = {}
        while True:
            keys = await self._keys(f"{self._prefix}{after}".encode(), limit, patience)
            for start in range(0, len(keys), SCAN_PAGE):
                found |= await self._read_all(keys[start : start + SCAN_PAGE])
                patience.renew()
            if limit is None or len(found) >= limit or len(keys) < limit:
                return [record for _, record in sorted(found.items())][:limit]
            after = keys[-1].decode(errors="replace").removeprefix(self._prefix)

    async def _keys(self, after: bytes, limit: int | None, patience: Patience) -> Sequence[bytes]:
        """Return the first keys after a key, in order; UTF-8 sorts as its characters do."""
        first: Sequence[bytes] = ()
        page: set[bytes] = set()  # a scan may return a key twice
        seen = 0
        async for key in self._redis.scan_iter(match=f"{self._prefix}*", count=SCAN_PAGE):
            seen += 1
            if key > after:
                page.add(key)
            if seen % SCAN_PAGE == 0:
                first, page = sorted(page.union(first))[:limit], set()
                patience.renew()
        return sorted(page.union(first))[:limit]

    async def _read_all(self, keys: Sequence[bytes | str]) -> dict[str, Read]:
        if not keys:
            return {}
        read = self._redis.mget_nonatomic if self._cluster else self._redis.mget
        names = [_text(key).removeprefix(self._prefix) for key in keys]
        records = {name: self._read(name, stored) for name, stored in zip(names, await read(keys), strict=True)}
        return {name: record for name, record in records.items() if record is not None}


def _text(key: bytes | str) -> str:
    return key if isinstance(key, str) else key.decode(errors="replace")
