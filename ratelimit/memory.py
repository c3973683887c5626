"""A limiter in this process's memory: the oracle for the Redis one, and what `LocalFallback` decides by.

Lives here: windows and permits by user, and forgetting them.  Not here: the arithmetic (window).
"""

from collections.abc import Awaitable, Callable, Mapping

from ratelimit.kinds import CONCURRENCY, CONCURRENCY_RETRY_S, RPS, USER, Amounts, LimitKind, Limits
from ratelimit.limits import (
    UNLIMITED,
    Admitted,
    Charge,
    Quota,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
    uncounted,
)
from ratelimit.questions import known
from ratelimit.window import KEEP_S, SECOND, Obstacle, Window, fits, quotas, refused, slot_of


class MemoryLimiter:
    """A `Limiter` over `users` (name -> user, None = unknown) on one clock (seconds).  Never unavailable."""

    def __init__(self, users: Callable[[str], User | None], clock: Callable[[], float]) -> None:
        self._users = users
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}  # by user and model or "", oldest charge first
        self._seconds: dict[str, Window] = {}  # of models with a limit per second
        self._running: dict[str, int] = {}  # permits held, by user

    def __len__(self) -> int:
        """Return how many windows are remembered."""
        return len(self._windows)

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`.  Decided when this returns."""
        return known(self.decide(charge, takes=True))

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`.  Decided when this returns."""
        return known(self.decide(charge, takes=False))

    async def settle(
        self,
        reservation: Reservation,
        used: Amounts,
        changes: Mapping[str, Amounts] | None = None,  # noqa: ARG002 - nobody shares this limiter
    ) -> None:
        """See `Limiter.settle`."""
        for model in {"", reservation.model}:
            window = self._windows.get((reservation.user, model))
            if window is not None:
                window.settle(reservation.slot, used.minus(reservation.amounts))

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`."""
        running = self._running.get(reservation.user, 0)
        if reservation.permits and running > 1:
            self._running[reservation.user] = running - 1
        elif reservation.permits:
            self._running.pop(reservation.user, None)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        stored = self._users(user)
        if stored is None:
            return None
        reading = self._windows.get((user, ""), Window()).read(self._clock())
        return Usage(user, quotas(stored.window, reading))

    def seed(self, user: str, model: str, last_s: float, used: Amounts) -> None:
        """Begin a window, unless it has begun, with what is known to have been used up to `last_s`."""
        if (user, model) not in self._windows:
            window = self._windows[user, model] = Window()
            window.add(slot_of(last_s), used, last_s)

    def seed_permits(self, user: str, running: int) -> None:
        """Let `running` requests of the user hold permits, unless the number is known already."""
        self._running.setdefault(user, running)

    def decide(self, charge: Charge, *, takes: bool) -> Verdict:
        """Answer `reserve` (`takes`) or `check`, without anything to await."""
        clock_s = self._clock()
        second = self._seconds.setdefault(charge.model, Window(SECOND)) if charge.rps is not None else None
        in_second = second.obstacles({RPS: charge.rps}, charge.amounts, clock_s) if second is not None else []
        if not charge.user:
            if in_second:
                return refused(in_second, UNLIMITED, None)
            if takes and second is not None:
                second.take(charge.amounts, clock_s)
            return uncounted(charge)
        user = self._users(charge.user)
        if user is None:
            return UnknownUser(charge.user)
        self._forget_unused(clock_s)
        limits: dict[str, Limits] = {"": user.window}
        if charge.model and charge.model in user.models:
            limits[charge.model] = user.models[charge.model].window
        windows = {model: self._windows.get((user.name, model)) or Window() for model in limits}
        now_s = max(clock_s, windows[""].last_s)  # one time, so that both windows charge the same slot
        for each in limits.values():
            charge = charge._replace(amounts=charge.within(each))
        obstacles = []
        for model, window in windows.items():
            obstacles += window.obstacles(limits[model], charge.amounts, now_s)
        obstacles += in_second + self._permit_obstacle(user)
        slot = 0
        if takes and not obstacles:
            slot = self._take(user, charge, windows, now_s)
            if second is not None:
                second.take(charge.amounts, clock_s)
        counted: dict[LimitKind, Quota] = {}
        for model, window in windows.items():
            counted |= quotas(limits[model], window.read(now_s))
        if obstacles:
            return refused(obstacles, counted, user.concurrency)
        model = charge.model if charge.model in limits else ""
        reservation = Reservation(user.name, slot, charge.amounts, model, () if user.concurrency is None else (USER,))
        return Admitted(reservation, counted, user.concurrency)

    def _take(self, user: User, charge: Charge, windows: dict[str, Window], now_s: float) -> int:
        slot = 0
        for model, window in windows.items():
            slot = window.take(charge.amounts, now_s)
            self._windows.pop((user.name, model), None)
            self._windows[user.name, model] = window
        if user.concurrency is not None:
            self._running[user.name] = self._running.get(user.name, 0) + 1
        return slot

    def _permit_obstacle(self, user: User) -> list[Obstacle]:
        if user.concurrency is None or fits(user.concurrency, self._running.get(user.name, 0), 1):
            return []
        return [Obstacle(CONCURRENCY, user.concurrency, CONCURRENCY_RETRY_S if user.concurrency else None)]

    def _forget_unused(self, now_s: float) -> None:
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.last_s + KEEP_S > now_s:
                return
            del self._windows[key]
