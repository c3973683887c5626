"""A limiter in this process's memory: the oracle for the Redis one, and what `LocalFallback` decides by.

Lives here: windows, budgets and permits by level, and forgetting them.  Not here: the arithmetic (window, periods,
granting).
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

from ratelimit.granting import granted, within
from ratelimit.kinds import (
    CONCURRENCY_RETRY_S,
    GROUP,
    KEY,
    LEVEL_KINDS,
    NOTHING,
    RPS,
    USER,
    Amounts,
    LimitKind,
    Limits,
    Scope,
)
from ratelimit.limits import (
    UNLIMITED,
    Admitted,
    Charge,
    Holder,
    Policy,
    Quota,
    Reservation,
    UnknownUser,
    Usage,
    User,
    Verdict,
    uncounted,
)
from ratelimit.periods import Periods
from ratelimit.questions import known
from ratelimit.window import KEEP_S, SECOND, Obstacle, Window, fits, quotas, refused, slot_of


class Level(NamedTuple):
    """One holder of limits that concern a charge."""

    scope: Scope
    holder: Holder
    policy: Policy


class Place(NamedTuple):
    """A window that a charge goes into, and what limits it there."""

    holder: Holder
    model: str
    window: Window
    limits: Limits


class MemoryLimiter:
    """A `Limiter` over `users` (name -> user, None = unknown) on one clock (seconds).  Never unavailable.

    `levels` returns the limits of a key or a group, None = it has none.
    """

    def __init__(
        self,
        users: Callable[[str], User | None],
        clock: Callable[[], float],
        levels: Callable[[Holder], Policy | None] = lambda _holder: None,
    ) -> None:
        self._users = users
        self._other_levels = levels
        self._clock = clock
        self._windows: dict[tuple[Holder, str], Window] = {}  # by level and model or "", oldest charge first
        self._seconds: dict[str, Window] = {}  # of models with a limit per second
        self._periods: dict[Holder, Periods] = {}
        self._running: dict[Holder, int] = {}  # permits held
        self._moved: dict[str, int] = {}  # the slots of hard reservations that were renewed, by request

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
        self, reservation: Reservation, used: Amounts, changes: Mapping[str, Amounts] | None = None
    ) -> None:
        """See `Limiter.settle`."""
        change = used.minus(reservation.amounts)
        if reservation.is_hard:
            request = next(iter(changes), "") if changes else ""
            slot = self._moved.pop(request, reservation.slot)
            self._move(reservation, slot, used.tokens)
            change = change._replace(tokens=0)
        for window in self._windows_of(reservation):
            window.settle(reservation.slot, change)
        for scope in reservation.budgets:
            self._periods_of(reservation.holder(scope)).settle(reservation.slot, used.minus(reservation.amounts))

    async def renew(self, request: str, reservation: Reservation) -> None:
        """See `Limiter.renew`."""
        slot = self._moved.get(request, reservation.slot)
        self._moved[request] = self._move(reservation, slot, reservation.amounts.tokens)

    def release(self, reservation: Reservation) -> None:
        """See `Limiter.release`."""
        for scope in reservation.permits:
            holder = reservation.holder(scope)
            running = self._running.pop(holder, 0)
            if running > 1:
                self._running[holder] = running - 1

    async def usage(self, user: str, key: str = "") -> Usage | None:
        """See `Limiter.usage`."""
        if key:
            return self._usage(key, KEY, (user, key), self._other_levels((user, key)))
        stored = self._users(user)
        return self._usage(user, USER, (user,), None if stored is None else stored.policy)

    async def group_usage(self, group: str) -> Usage | None:
        """See `Limiter.group_usage`."""
        return self._usage(group, GROUP, ("", group), self._other_levels(("", group)))

    def seed(self, holder: Holder, model: str, last_s: float, used: Amounts) -> None:
        """Begin a window, unless it has begun, with what is known to have been used up to `last_s`."""
        if (holder, model) not in self._windows:
            window = self._windows[holder, model] = Window()
            window.add(slot_of(last_s), used, last_s)

    def seed_periods(self, holder: Holder, last_s: float, used: Mapping[str, Amounts]) -> None:
        """Begin to count budgets, unless that has begun, with what was used in the day and the month of `last_s`."""
        if holder not in self._periods:
            self._periods[holder] = Periods()
            self._periods[holder].seed(slot_of(last_s), used)

    def seed_permits(self, holder: Holder, running: int) -> None:
        """Let `running` requests of a level hold permits, unless the number is known already."""
        self._running.setdefault(holder, running)

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
        levels = list(self._levels(user, charge))
        places = list(self._places(user, charge, levels))
        now_s = max(clock_s, *(place.window.last_s for place in places))  # one time, so that all charge the same slot
        is_hard = charge.bounds is not None and (user.reserve or charge.reserve) == "maximum"
        amounts = self._asked(charge, is_hard, levels, places, now_s)
        obstacles = self._obstacles(levels, places, amounts, now_s) + in_second + self._permit_obstacles(levels)
        takes = takes and not obstacles
        if takes:
            self._take(levels, places, amounts, now_s)
            if second is not None:
                second.take(amounts, clock_s)
        counted = self._quotas(levels, places, now_s)
        if obstacles:
            return refused(obstacles, counted, user.concurrency)
        slot = slot_of(now_s) if takes else 0
        reservation = _reservation(user.name, slot, amounts, levels, places)._replace(is_hard=is_hard)
        return Admitted(reservation, counted, user.concurrency)

    def _levels(self, user: User, charge: Charge) -> Iterator[Level]:
        yield Level(USER, (user.name,), user.policy)
        for scope, holder in ((KEY, (user.name, charge.key)), (GROUP, ("", user.group))):
            policy = self._other_levels(holder) if holder[-1] else None
            if policy is not None:
                yield Level(scope, holder, policy)

    def _places(self, user: User, charge: Charge, levels: list[Level]) -> Iterator[Place]:
        """Yield the windows in the order of the table of kinds."""
        for scope, holder, policy in levels:
            yield Place(holder, "", self._windows.get((holder, "")) or Window(), policy.window(scope))
            if scope is USER and charge.model and charge.model in user.models:
                window = self._windows.get((holder, charge.model)) or Window()
                yield Place(holder, charge.model, window, user.models[charge.model].window)

    def _asked(self, charge: Charge, is_hard: bool, levels: list[Level], places: list[Place], now_s: float) -> Amounts:
        """Return the amounts that the charge is about under all limits."""
        if charge.bounds is not None and is_hard:
            quotas = self._quotas(levels, places, now_s)
            left = [(kind, quota.limit - quota.used) for kind, quota in quotas.items() if quota.limit is not None]
            return granted(charge.bounds, left)
        amounts = charge.amounts
        for place in places:
            amounts = within(charge, amounts, place.limits)
        for scope, _, policy in levels:
            amounts = within(charge, amounts, policy.periods(scope))
        return amounts

    def _obstacles(self, levels: list[Level], places: list[Place], amounts: Amounts, now_s: float) -> list[Obstacle]:
        found = []
        for place in places:
            found += place.window.obstacles(place.limits, amounts, now_s)
        for scope, holder, policy in levels:
            found += self._periods_of(holder).obstacles(policy.periods(scope), amounts, slot_of(now_s), now_s)
        return found

    def _permit_obstacles(self, levels: list[Level]) -> list[Obstacle]:
        found = []
        for scope, holder, policy in levels:
            limit = policy.concurrency
            if limit is not None and not fits(limit, self._running.get(holder, 0), 1):
                found.append(Obstacle(LEVEL_KINDS[scope][2], limit, CONCURRENCY_RETRY_S if limit else None))
        return found

    def _take(self, levels: list[Level], places: list[Place], amounts: Amounts, now_s: float) -> None:
        for holder, model, window, _ in places:
            window.take(amounts, now_s)
            self._windows.pop((holder, model), None)
            self._windows[holder, model] = window
        for _, holder, policy in levels:
            if policy.budgets:
                self._periods.setdefault(holder, Periods()).take(slot_of(now_s), amounts)
            if policy.concurrency is not None:
                self._running[holder] = self._running.get(holder, 0) + 1

    def _quotas(self, levels: list[Level], places: list[Place], now_s: float) -> dict[LimitKind, Quota]:
        counted: dict[LimitKind, Quota] = {}
        for place in places:
            counted |= quotas(place.limits, place.window.read(now_s))
        for scope, holder, policy in levels:
            counted |= self._periods_of(holder).quotas(policy.periods(scope), slot_of(now_s), now_s)
        return counted

    def _usage(self, name: str, scope: Scope, holder: Holder, policy: Policy | None) -> Usage | None:
        if policy is None:
            return None
        window = self._windows.get((holder, "")) or Window()
        now_s = max(self._clock(), window.last_s)
        place = Place(holder, "", window, policy.window(scope))
        return Usage(name, self._quotas([Level(scope, holder, policy)], [place], now_s))

    def _move(self, reservation: Reservation, slot: int, tokens: int) -> int:
        """Let tokens count from now on in place of a reservation's, which a slot holds; return the new slot."""
        windows = list(self._windows_of(reservation))
        now_s = max(self._clock(), *(window.last_s for window in windows))
        held, amounts = NOTHING._replace(tokens=reservation.amounts.tokens), NOTHING._replace(tokens=tokens)
        for window in windows:
            window.move(slot, held, amounts, now_s)
        return slot_of(now_s)

    def _windows_of(self, reservation: Reservation) -> Iterator[Window]:
        """Yield the windows that hold a reservation, or did: hard ones count again when they were forgotten."""
        user = reservation.holder(USER)
        keys = [(user, "")]
        keys += [(user, reservation.model)] if reservation.model else []
        keys += [(reservation.holder(KEY), "")] if reservation.key else []
        keys += [(reservation.holder(GROUP), "")] if reservation.group else []
        for key in keys:
            if reservation.is_hard:
                yield self._windows.setdefault(key, Window())
            elif key in self._windows:
                yield self._windows[key]

    def _periods_of(self, holder: Holder) -> Periods:
        return self._periods.get(holder) or Periods()

    def _forget_unused(self, now_s: float) -> None:
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.last_s + KEEP_S > now_s:
                return
            del self._windows[key]


def _reservation(user: str, slot: int, amounts: Amounts, levels: list[Level], places: list[Place]) -> Reservation:
    named = {level.scope: level.holder[-1] for level in levels}
    return Reservation(
        user,
        slot,
        amounts,
        next((place.model for place in places if place.model), ""),
        tuple(level.scope for level in levels if level.policy.concurrency is not None),
        key=named.get(KEY, ""),
        group=named.get(GROUP, ""),
        group_slot=slot if GROUP in named else 0,
        budgets=tuple(level.scope for level in levels if level.policy.budgets),
    )
