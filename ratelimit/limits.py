"""The vocabulary of limits and the seam every limiter implements.

Lives here: values and the `Limiter` protocol.  Not here: window arithmetic (plan), Redis (redis_limiter).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

WINDOW_S = 60
"""Never more than N in any WINDOW_S seconds (contracts section 3)."""


class LimitKind(StrEnum):
    """What can be exceeded; the value is the metric label and part of `x-error-<value>-exceeded`."""

    RPM = "rpm"
    TPM = "tpm"


@dataclass(frozen=True, slots=True)
class User:
    """A stored user.  None = unlimited, 0 = nothing allowed."""

    name: str
    rpm: int | None = None
    tpm: int | None = None


class Charge(NamedTuple):
    """What a request asks for: one request and an estimate of its tokens, prompt and output together."""

    user: str
    tokens: int


class Quota(NamedTuple):
    """One limit after a verdict.  `reset_s`: until everything used now has left the window; 0 when nothing is used."""

    limit: int | None
    used: int
    reset_s: float

    @property
    def remaining(self) -> int | None:
        """What may still be used now; None = unlimited; never negative."""
        return None if self.limit is None else max(0, self.limit - self.used)


class Reservation(NamedTuple):
    """Tokens held for a running request, in the sub-window (`slot`) where they were admitted."""

    user: str
    slot: int
    tokens: int


class Admitted(NamedTuple):
    """The charge was taken, all of it; the quotas include it."""

    reservation: Reservation
    requests: Quota
    tokens: Quota


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken.  `retry_after_s`: until the same charge would be admitted; None = never."""

    kind: LimitKind
    limit: int
    retry_after_s: float | None
    requests: Quota
    tokens: Quota


@dataclass(frozen=True, slots=True)
class UnknownUser:
    """There is no such user; nothing was taken."""

    name: str


Verdict = Admitted | Refused | UnknownUser


@dataclass(frozen=True, slots=True)
class Usage:
    """A user's use of the window now."""

    user: User
    requests: Quota
    tokens: Quota


class LimiterUnavailableError(Exception):
    """The limiter's store did not answer in time; nothing is known about the charge."""


class MalformedUserError(Exception):
    """What is stored under the user's key is not a user record; nothing is known about the limits."""


class Limiter(Protocol):
    """Reserves before and settles after.  Both are atomic across replicas."""

    async def reserve(self, charge: Charge) -> Verdict:
        """Take one request and `charge.tokens` or nothing at all.

        Raises LimiterUnavailableError, MalformedUserError.
        """
        ...

    async def check(self, charge: Charge) -> Verdict:
        """What `reserve` would say now; takes nothing.

        The quotas are those of now, without the charge; there is no reservation to settle.  Raises as `reserve` does.
        """
        ...

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """Replace the reserved tokens by what was really used, in the sub-window of the reservation.

        Called exactly once per reservation, or once with the sums of several of one user and slot; a reservation
        that has left the window changes nothing.
        The request stays counted (contracts section 1, upstream errors: tokens=0).
        Raises LimiterUnavailableError.
        """
        ...

    async def usage(self, user: str) -> Usage | None:
        """The user's use of the window now; None = unknown user.

        Raises LimiterUnavailableError, MalformedUserError.
        """
        ...
