"""The permits that this replica's running requests hold under limits of `concurrency`, by level.

Lives here: how many each level's requests hold, and which numbers Redis needs again.  Not here: sending them (limiter).

Redis keeps a lease for each level and replica: a number of permits that it believes for LEASE_S.  The replica renews it
every RENEW_S, so that the permits of a killed replica are free within LEASE_S.
"""

from collections.abc import Iterator

from ratelimit.limits import Holder

LEASE_S = 4.0
"""How long Redis believes a replica's number, in seconds: several renewals may fail, and a crash is over within 5 s."""

RENEW_S = 1.0
"""Between two renewals, in seconds (chosen: a quarter of the lease)."""


class Permits:
    """Counts by level.  Levels without a limit of concurrency never appear here."""

    def __init__(self) -> None:
        self._held: dict[Holder, int] = {}
        self._asking: dict[Holder, int] = {}  # reserves on their way, which Redis may have counted already
        self._new: set[Holder] = set()  # users whose first reserves may be on their way without being in `_asking`

    def __getitem__(self, holder: Holder) -> int:
        """Return how many permits the level's requests hold."""
        return self._held.get(holder, 0)

    def ask(self, holder: Holder) -> bool:
        """Note that a reserve is sent; return whether `answered` has to follow."""
        if holder not in self._held:
            return False
        self._asking[holder] = self._asking.get(holder, 0) + 1
        return True

    def answered(self, *holders: Holder) -> None:
        """Note that a reserve is not on its way any more."""
        for holder in holders:
            self._asking[holder] -= 1
            if not self._asking[holder]:
                del self._asking[holder]

    def take(self, holder: Holder) -> None:
        """Count a permit that was given."""
        if holder not in self._held:
            self._new.add(holder)
        self._held[holder] = self._held.get(holder, 0) + 1

    def give_back(self, holder: Holder) -> None:
        """Count a permit less."""
        self._held[holder] -= 1

    def renewals(self) -> Iterator[tuple[Holder, int | None]]:
        """Yield what Redis has to be sent now: a level and the permits held, None = as many as Redis has.

        It is None while a reserve is on its way, because Redis may have counted that already.  A level without permits
        is sent once more and then forgotten, so that what a lost answer left behind goes away.
        """
        for holder, held in list(self._held.items()):
            certain = holder not in self._asking and holder not in self._new
            yield holder, held if certain else None
            if certain and not held:
                del self._held[holder]
        self._new.clear()
