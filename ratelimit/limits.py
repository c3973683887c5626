"""The vocabulary of limits and the seam every limiter implements.

Lives here: values and the `Limiter` protocol.  Not here: window arithmetic (plan), Redis (redis_limiter).
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

WINDOW_S = 60
"""Never more than N in any WINDOW_S seconds (contracts section 3)."""


CONCURRENCY_RETRY_S = 1.0
"""When to ask again for a place: a stream's end cannot be foreseen (chosen)."""


class LimitKind(StrEnum):
    """What can be exceeded; the value is the metric label.  Of equal waits the first is named."""

    RPM = "rpm"
    TPM = "tpm"
    MODEL_RPM = "model_rpm"
    """Of the user, for this model."""
    MODEL_TPM = "model_tpm"
    RPS = "rps"
    """Of the model, all users together, in any second."""
    CONCURRENCY = "concurrency"
    """Requests of the user that run at the same time."""


class Rates(NamedTuple):
    """Limits of one window.  None = unlimited, 0 = nothing allowed."""

    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A stored user.  None = unlimited, 0 = nothing allowed; `models` further limits what goes to a model."""

    name: str
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: Mapping[str, Rates] = field(default_factory=dict)


class Charge(NamedTuple):
    """What a request asks for: one request and an estimate of its tokens, prompt and output together.

    `rps` is the limit of the model, from its settings.  Without a user ("") nothing else limits or is counted.
    """

    user: str
    tokens: int
    model: str = ""
    rps: int | None = None


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
    """Tokens held for a running request, in the sub-window (`slot`) where they were admitted.

    `model` is set when they are held in the user's window for that model too; `holds_permit` when it holds one of the
    user's places (`concurrency`), which `Limiter.release` gives back.
    """

    user: str
    slot: int
    tokens: int
    model: str = ""
    holds_permit: bool = False


UNCOUNTED_SLOT = -1
"""The slot of a reservation that nobody counts; settling it does nothing."""


class Admitted(NamedTuple):
    """The charge was taken, all of it; the quotas include it.  `model`: requests and tokens, if the user has such."""

    reservation: Reservation
    requests: Quota
    tokens: Quota
    model: tuple[Quota, Quota] | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken.  `retry_after_s`: until the same charge would be admitted; None = never."""

    kind: LimitKind
    limit: int
    retry_after_s: float | None
    requests: Quota
    tokens: Quota
    model: tuple[Quota, Quota] | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class UnknownUser:
    """There is no such user; nothing was taken."""

    name: str


Verdict = Admitted | Refused | UnknownUser

UNLIMITED = Quota(limit=None, used=0, reset_s=0.0)


def uncounted(charge: Charge) -> Admitted:
    """Admission without counting anything of a user."""
    return Admitted(Reservation(charge.user, UNCOUNTED_SLOT, charge.tokens), UNLIMITED, UNLIMITED)


@dataclass(frozen=True, slots=True)
class Usage:
    """A user's use of the window now, and the limits of that window."""

    user: User
    requests: Quota
    tokens: Quota


class LimiterUnavailableError(Exception):
    """The limiter's store did not answer in time; nothing is known about the charge."""


class LostAnswerError(LimiterUnavailableError):
    """A reserve that may have been taken, or may be yet; `number` is its name in the hand-over."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


class MalformedUserError(Exception):
    """What is stored under the user's key is not a user record; nothing is known about the limits."""


class Limiter(Protocol):
    """Reserves before and settles after.  Both are atomic across replicas.

    The question of `reserve` and `check` leaves when they are called, so work that is done between the call and the
    await costs no time; only a question that concerns several nodes of a Redis Cluster leaves when it is awaited.
    The caller promises to await the answer, once, before it awaits anything else; errors are raised there.  An answer
    that is never awaited leaves its reservation behind, which ends with its window, and nothing else.
    """

    def reserve(self, charge: Charge) -> Awaitable[Verdict]:
        """Take one request, `charge.tokens` and a place, under every limit that applies, or nothing at all.

        Awaiting raises LimiterUnavailableError, MalformedUserError.
        """
        ...

    def check(self, charge: Charge) -> Awaitable[Verdict]:
        """What `reserve` would answer now; takes nothing, so an admission's reservation must not be settled.

        Awaiting raises LimiterUnavailableError, MalformedUserError.
        """
        ...

    async def settle(self, reservation: Reservation, tokens: int, *, requests: int = 0) -> None:
        """Replace the reserved tokens by what was really used, in the sub-window of the reservation.

        Called exactly once per reservation, or once with the sums of several of one user, slot and model; a
        reservation that has left the window changes nothing.  `requests` are given back; by default the request stays
        counted (contracts section 1, upstream errors: tokens=0).
        Raises LimiterUnavailableError.
        """
        ...

    def release(self, reservation: Reservation) -> None:
        """Give the place of a reservation back, once, when its request ends; nothing when it has none."""
        ...

    async def usage(self, user: str) -> Usage | None:
        """The user's use of the window now; None = unknown user.

        Raises LimiterUnavailableError, MalformedUserError.
        """
        ...
