"""Adapters that were asked for, in Redis, for all replicas: which, the pods where each should be, and what failed.

Lives here: keys, their formats, and which replica leads.  Not here: what a leader does (keeper), who asks (desk).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from routing.placement import DEFAULT
from traffic.connection import Connection

WANTED, STATES, LEADER = (f"forebay:{{adapters}}:{name}" for name in ("wanted", "states", "leader"))
LEASE_MS = 3000
"""Milliseconds without a look after which another replica leads (chosen: six looks)."""

_LOOK = """
local leader = redis.call('GET', KEYS[1])
if not leader or leader == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  leader = ARGV[1]
end
return {leader == ARGV[1] and 1 or 0, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
"""


class Wanted(msgspec.Struct, frozen=True):
    """An adapter that should be loaded, as somebody asked for it."""

    name: str
    model: str  # its base model
    path: str
    replicas: int = 1
    policy: str = DEFAULT
    id: str = ""  # of the call: one that is repeated is tried at once, whatever failed before


class Failure(msgspec.Struct, frozen=True):
    """Attempts on a pod that failed, in a row."""

    pod: str
    attempts: int
    message: str
    next_s: float  # Unix time of the next one


class State(msgspec.Struct, frozen=True):
    """The pods where an adapter should be, by their ids, and what failed; of the call with this id."""

    id: str
    pods: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


class Board(NamedTuple):
    """Everything, at one look."""

    leads: bool = False  # this replica does
    wanted: Mapping[str, Wanted] = {}
    states: Mapping[str, State] = {}


_T = TypeVar("_T", Wanted, State)


class Records:
    """The records behind `connection`.  All methods may raise RedisAwayError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def look(self, replica: str) -> Board:
        """Return everything; lead from now on where nobody does, or go on leading."""
        async with self._connection.calls() as redis:
            leads, wanted, states = await redis.eval(_LOOK, 3, LEADER, WANTED, STATES, replica, LEASE_MS)
        return Board(bool(leads), _read(wanted, Wanted), _read(states, State))

    async def all_wanted(self) -> dict[str, Wanted]:
        """Return what was asked for, by name."""
        async with self._connection.calls() as redis:
            found = await redis.hgetall(WANTED)
        return {name.decode(): msgspec.json.decode(one, type=Wanted) for name, one in found.items()}

    async def wanted(self, name: str) -> Wanted | None:
        """Return what was asked for under this name."""
        return await self._one(WANTED, name, Wanted)

    async def state(self, name: str) -> State | None:
        """Return where it should be."""
        return await self._one(STATES, name, State)

    async def want(self, one: Wanted) -> None:
        """Ask for an adapter, in place of what was asked for under its name."""
        async with self._connection.calls() as redis:
            await redis.hset(WANTED, one.name, msgspec.json.encode(one))

    async def forget(self, name: str) -> None:
        """Ask for it no longer."""
        async with self._connection.calls() as redis:
            await redis.hdel(WANTED, name)
            await redis.hdel(STATES, name)

    async def tell(self, states: Mapping[str, State], gone: set[str]) -> None:
        """Write what the leader knows: these states, and those of `gone` no longer."""
        async with self._connection.calls() as redis:
            if states:
                await redis.hset(STATES, mapping={name: msgspec.json.encode(one) for name, one in states.items()})
            if gone:
                await redis.hdel(STATES, *gone)

    async def _one(self, key: str, name: str, kind: type[_T]) -> _T | None:
        async with self._connection.calls() as redis:
            found = await redis.hget(key, name)
        return None if found is None else msgspec.json.decode(found, type=kind)


def _read(flat: list[Any], kind: type[_T]) -> dict[str, _T]:
    """Return the values of a hash, given as HGETALL does in a script: names and values in turn."""
    return {
        name.decode(): msgspec.json.decode(value, type=kind) for name, value in zip(flat[::2], flat[1::2], strict=True)
    }
