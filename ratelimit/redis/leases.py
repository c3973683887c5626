"""Places that this replica's running requests hold under their users' concurrency limits.

Lives here: how many there are, and which have to be told to Redis again.  Not here: the telling (redis_limiter).

Redis has, per user and replica, a number that is believed for LEASE_S; the replica renews it every RENEW_S, so that
places of a killed replica are free within LEASE_S.
"""

from collections.abc import Iterator

LEASE_S = 4.0
"""As lua/reserve.lua and lua/lease.lua have it: several renewals may fail, and a crash is over within 5 s."""

RENEW_S = 1.0
"""Between two renewals (chosen: a quarter of the lease)."""


class Leases:
    """Counts by user.  A user without concurrency limit is never seen here."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._asking: dict[str, int] = {}  # reserves on their way, which Redis may have counted already
        self._new: set[str] = set()  # users whose first reserves may be on their way, not in `_asking`

    def __getitem__(self, user: str) -> int:
        """Places held."""
        return self._held.get(user, 0)

    def ask(self, user: str) -> bool:
        """A reserve is sent; whether `answered` is to follow."""
        if user not in self._held:
            return False
        self._asking[user] = self._asking.get(user, 0) + 1
        return True

    def answered(self, user: str) -> None:
        """A reserve is not on its way any more."""
        self._asking[user] -= 1
        if not self._asking[user]:
            del self._asking[user]

    def took(self, user: str) -> None:
        """A place was given."""
        if user not in self._held:
            self._new.add(user)
        self._held[user] = self._held.get(user, 0) + 1

    def gave_back(self, user: str) -> None:
        """A place was given back."""
        self._held[user] -= 1

    def renewals(self) -> Iterator[tuple[str, int | None]]:
        """What Redis is to be told now: a user's places, or None = as many as it has, while some are being asked for.

        Who holds none is told once and then forgotten: what a lost answer left behind goes away.
        """
        for user, held in list(self._held.items()):
            certain = user not in self._asking and user not in self._new
            yield user, held if certain else None
            if certain and not held:
                del self._held[user]
        self._new.clear()
