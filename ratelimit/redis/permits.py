"""The permits that this replica's running requests hold under their users' limits of `concurrency`.

Lives here: how many each user's requests hold, and which numbers Redis needs again.  Not here: sending them (limiter).

Redis keeps a lease for each user and replica: a number of permits that it believes for LEASE_S.  The replica renews it
every RENEW_S, so that the permits of a killed replica are free within LEASE_S.
"""

from collections.abc import Iterator

LEASE_S = 4.0
"""How long Redis believes a replica's number, in seconds: several renewals may fail, and a crash is over within 5 s."""

RENEW_S = 1.0
"""Between two renewals, in seconds (chosen: a quarter of the lease)."""


class Permits:
    """Counts by user.  Users without a limit of concurrency never appear here."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._asking: dict[str, int] = {}  # reserves on their way, which Redis may have counted already
        self._new: set[str] = set()  # users whose first reserves may be on their way without being in `_asking`

    def __getitem__(self, user: str) -> int:
        """Return how many permits the user's requests hold."""
        return self._held.get(user, 0)

    def ask(self, user: str) -> bool:
        """Note that a reserve is sent; return whether `answered` has to follow."""
        if user not in self._held:
            return False
        self._asking[user] = self._asking.get(user, 0) + 1
        return True

    def answered(self, user: str) -> None:
        """Note that a reserve is not on its way any more."""
        self._asking[user] -= 1
        if not self._asking[user]:
            del self._asking[user]

    def take(self, user: str) -> None:
        """Count a permit that was given."""
        if user not in self._held:
            self._new.add(user)
        self._held[user] = self._held.get(user, 0) + 1

    def give_back(self, user: str) -> None:
        """Count a permit less."""
        self._held[user] -= 1

    def renewals(self) -> Iterator[tuple[str, int | None]]:
        """Yield what Redis has to be sent now: a user and the permits held, None = as many as Redis has.

        It is None while a reserve is on its way, because Redis may have counted that already.  A user without permits
        is sent once more and then forgotten, so that what a lost answer left behind goes away.
        """
        for user, held in list(self._held.items()):
            certain = user not in self._asking and user not in self._new
            yield user, held if certain else None
            if certain and not held:
                del self._held[user]
        self._new.clear()
