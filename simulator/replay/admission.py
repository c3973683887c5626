"""Limits of users in a replay: the gateway's own limiter, on the replay's clock.

Lives here: reservation and settlement.  Not here: the limits' arithmetic (ratelimit).
"""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, TypeVar

from ratelimit.kinds import USER_KINDS, Amounts
from ratelimit.limits import Admitted, Charge, Refused, Reservation, User
from ratelimit.memory import MemoryLimiter
from simulator.replay.traces import TraceRequest

T = TypeVar("T")

EVERYBODY = "*"
"""The user name whose limits each user without limits of their own gets."""


class Admission:
    """The limiter of a replay.  Each request reserves its prompt and `output_tokens` until its real usage is known."""

    def __init__(self, users: Mapping[str, User], output_tokens: int) -> None:
        self.output_tokens = output_tokens
        self._users = users
        self._now_s = 0.0
        self._limiter = MemoryLimiter(self._user, lambda: self._now_s)

    def reserve(self, request: TraceRequest, now_s: float) -> tuple[str, Reservation | None]:
        """Return why the request is refused (empty: it is admitted) and its reservation (None: it needs none)."""
        self._now_s = now_s
        tokens = request.input_length + self.output_tokens
        charge = Charge(request.user or EVERYBODY, Amounts(1, tokens), certain=Amounts(1, 0))  # as prompts of text are
        verdict = self._limiter.decide(charge, takes=True)
        if isinstance(verdict, Refused):
            return verdict.kind.name, None
        return "", verdict.reservation if isinstance(verdict, Admitted) else None

    def settle(self, reservation: Reservation | None, tokens: int) -> None:
        """Replace the reserved tokens by those used."""
        if reservation is not None:
            _result(self._limiter.settle(reservation, Amounts(1, tokens)))

    def _user(self, name: str) -> User | None:
        """Return the user's limits; None = there are none."""
        if name in self._users:
            return self._users[name]
        everybody = self._users.get(EVERYBODY)
        return replace(everybody, name=name) if everybody else None


def parse_users(text: str) -> dict[str, User]:
    """Return the users that `NAME[:rpm=N][:tpm=N],...` names, with any limit per minute.  Raises ValueError."""
    users, known = {}, [kind.field for kind in USER_KINDS]
    for part in filter(None, text.split(",")):
        name, *limits = part.split(":")
        pairs = dict(limit.split("=", 1) for limit in limits if "=" in limit)
        if len(pairs) != len(limits) or not pairs.keys() <= set(known) or not all(map(str.isdigit, pairs.values())):
            raise ValueError(f"user = {part!r}, must be NAME{''.join(f'[:{limit}=N]' for limit in known)}")
        rates: dict[str, Any] = {limit: int(number) for limit, number in pairs.items()}
        users[name] = User(name, **rates)
    return users


def assign_users(trace: Iterable[TraceRequest], users: Iterable[str]) -> Sequence[TraceRequest]:
    """Return the trace with requests that have no user assigned to `users` in turn."""
    turns = cycle([name for name in users if name != EVERYBODY] or [""])
    return [request if request.user else request._replace(user=next(turns)) for request in trace]


def _result(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("the in-memory limiter waited")
