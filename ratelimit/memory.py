"""A limiter in this process's memory: the oracle for the Redis one, and the shadow's judge while Redis is away.

Lives here: windows by user, and forgetting them.  Not here: the arithmetic (plan).
"""

from collections.abc import Callable

from ratelimit.limits import Admitted, Charge, Reservation, UnknownUser, Usage, User, Verdict
from ratelimit.plan import KEEP_S, Window, quotas


class MemoryLimiter:
    """A `Limiter` over `users` (name -> user, None = unknown) on one clock (seconds).  Never unavailable."""

    def __init__(self, users: Callable[[str], User | None], clock: Callable[[], float]) -> None:
        self._users = users
        self._clock = clock
        self._windows: dict[str, Window] = {}  # the longest without a charge first

    def __len__(self) -> int:
        """How many users are remembered."""
        return len(self._windows)

    async def reserve(self, charge: Charge) -> Verdict:
        """See `Limiter.reserve`."""
        user = self._users(charge.user)
        if user is None:
            return UnknownUser(charge.user)
        now_s = self._clock()
        self._forget_unused(now_s)
        window = self._windows.get(user.name) or Window()
        verdict = window.reserve(user, charge.tokens, now_s)
        if isinstance(verdict, Admitted):
            self._keep(user.name, window)
        return verdict

    async def check(self, charge: Charge) -> Verdict:
        """See `Limiter.check`."""
        user = self._users(charge.user)
        if user is None:
            return UnknownUser(charge.user)
        return self._windows.get(user.name, Window()).check(user, charge.tokens, self._clock())

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """See `Limiter.settle`."""
        window = self._windows.get(reservation.user)
        if window is not None:
            window.settle(reservation.slot, reservation.tokens, tokens)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        known = self._users(user)
        if known is None:
            return None
        reading = self._windows.get(user, Window()).read(self._clock())
        return Usage(known, *quotas(known, reading))

    def seed(self, user: str, slot: int, *, requests: int, tokens: int) -> None:
        """Begin a user's window, unless it has begun, with what is known to have been used up to `slot`."""
        if user not in self._windows:
            window = Window()
            window.add(slot, requests=requests, tokens=tokens)
            self._keep(user, window)

    def _keep(self, user: str, window: Window) -> None:
        self._windows.pop(user, None)
        self._windows[user] = window

    def _forget_unused(self, now_s: float) -> None:
        while self._windows:
            user, window = next(iter(self._windows.items()))
            if window.newest + KEEP_S > now_s:
                return
            del self._windows[user]
