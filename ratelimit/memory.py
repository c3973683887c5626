"""A limiter in this process's memory: the oracle for the Redis one, and the shadow's judge while Redis is away.

Lives here: windows and places by user, and forgetting them.  Not here: the arithmetic (plan).
"""

from collections.abc import Awaitable, Callable

from ratelimit.limits import (
    CONCURRENCY_RETRY_S,
    UNLIMITED,
    Admitted,
    Charge,
    LimitKind,
    Rates,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
    uncounted,
)
from ratelimit.questions import known
from ratelimit.window import KEEP_S, SECOND, Obstacle, Window, fits, quotas, refused

_USER_KINDS = (LimitKind.RPM, LimitKind.TPM)
_MODEL_KINDS = (LimitKind.MODEL_RPM, LimitKind.MODEL_TPM)
_RPS_KINDS = (LimitKind.RPS, LimitKind.RPS)


class MemoryLimiter:
    """A `Limiter` over `users` (name -> user, None = unknown) on one clock (seconds).  Never unavailable."""

    def __init__(self, users: Callable[[str], User | None], clock: Callable[[], float]) -> None:
        self._users = users
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}  # user, model or ""; the longest without a charge first
        self._seconds: dict[str, Window] = {}  # of models with a limit per second
        self._running: dict[str, int] = {}  # places taken, by user

    def __len__(self) -> int:
        """How many windows are remembered."""
        return len(self._windows)

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.reserve`.  Decided when this returns."""
        return known(self.decide(charge, takes=True))

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """See `Limiter.check`.  Decided when this returns."""
        return known(self.decide(charge, takes=False))

    async def settle(self, reservation: Reservation, tokens: int, *, requests: int = 0) -> None:
        """See `Limiter.settle`."""
        for model in {"", reservation.model}:
            window = self._windows.get((reservation.user, model))
            if window is not None:
                window.settle(reservation.slot, reservation.tokens, tokens, requests)

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`."""
        running = self._running.get(reservation.user, 0)
        if reservation.holds_permit and running > 1:
            self._running[reservation.user] = running - 1
        elif reservation.holds_permit:
            self._running.pop(reservation.user, None)

    async def usage(self, user: str) -> Usage | None:
        """See `Limiter.usage`."""
        stored = self._users(user)
        if stored is None:
            return None
        reading = self._windows.get((user, ""), Window()).read(self._clock())
        return Usage(stored, *quotas(Rates(stored.rpm, stored.tpm), reading))

    def seed(self, user: str, model: str, slot: int, *, requests: int, tokens: int) -> None:
        """Begin a window, unless it has begun, with what is known to have been used up to `slot`."""
        if (user, model) not in self._windows:
            window = self._windows[user, model] = Window()
            window.add(slot, requests=requests, tokens=tokens)

    def seat(self, user: str, running: int) -> None:
        """Let so many of the user's places be taken, unless some are known to be."""
        self._running.setdefault(user, running)

    def decide(self, charge: Charge, *, takes: bool) -> Verdict:
        """Answer `reserve` (`takes`) or `check`, without anything to await."""
        clock_s = self._clock()
        second = self._seconds.setdefault(charge.model, Window(SECOND)) if charge.rps is not None else None
        in_second = second.obstacles(Rates(charge.rps), 0, clock_s, _RPS_KINDS) if second is not None else []
        if not charge.user:
            if in_second:
                return refused(in_second, (UNLIMITED, UNLIMITED), None, None)
            if takes and second is not None:
                second.take(0, clock_s)
            return uncounted(charge)
        user = self._users(charge.user)
        if user is None:
            return UnknownUser(charge.user)
        self._forget_unused(clock_s)
        own = self._windows.get((user.name, "")) or Window()
        now_s = max(clock_s, own.newest_s)  # one time, so that both windows charge the same slot
        rates = Rates(user.rpm, user.tpm)
        obstacles = own.obstacles(rates, charge.tokens, now_s, _USER_KINDS)
        charged = {"": own}
        model_rates = user.models.get(charge.model)
        if model_rates is not None:
            of_model = charged[charge.model] = self._windows.get((user.name, charge.model)) or Window()
            obstacles += of_model.obstacles(model_rates, charge.tokens, now_s, _MODEL_KINDS)
        obstacles += in_second + self._no_place(user)
        slot = 0
        if takes and not obstacles:
            slot = self._take(user, charge, charged, now_s)
            if second is not None:
                second.take(0, clock_s)
        counted = quotas(rates, own.read(now_s))
        counted_model = quotas(model_rates, of_model.read(now_s)) if model_rates is not None else None
        if obstacles:
            return refused(obstacles, counted, counted_model, user.concurrency)
        model = "" if model_rates is None else charge.model
        reservation = Reservation(user.name, slot, charge.tokens, model, user.concurrency is not None)
        return Admitted(reservation, *counted, counted_model, user.concurrency)

    def _take(self, user: User, charge: Charge, charged: dict[str, Window], now_s: float) -> int:
        slot = 0
        for model, window in charged.items():
            slot = window.take(charge.tokens, now_s)
            self._windows.pop((user.name, model), None)
            self._windows[user.name, model] = window
        if user.concurrency is not None:
            self._running[user.name] = self._running.get(user.name, 0) + 1
        return slot

    def _no_place(self, user: User) -> list[Obstacle]:
        if user.concurrency is None or fits(user.concurrency, self._running.get(user.name, 0), 1):
            return []
        return [Obstacle(LimitKind.CONCURRENCY, user.concurrency, CONCURRENCY_RETRY_S if user.concurrency else None)]

    def _forget_unused(self, now_s: float) -> None:
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.newest_s + KEEP_S > now_s:
                return
            del self._windows[key]
