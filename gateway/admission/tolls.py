"""The limits of APIs in the cloud: what a request that goes to one is charged beside its user's own limits.

Lives here: charging, and closing a pool whose limits refuse.  Not here: settling (gateway.accounting.ledger), the
choice of another pool (gateway.fleet.pools), counting (ratelimit).

Each API counts as a user of a name that no user can have, so that its requests, tokens and money are counted by the
same limiter, over all replicas, and the admin REST shows them.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.admission.plan import Plan
from gateway.config.pools import PoolSettings
from gateway.fleet.pools import Pools
from gateway.fleet.ticket import Ticket
from gateway.openai.errors import LimiterAwayError, OverloadedError
from ratelimit.accounts.users import UserStoreUnavailableError
from ratelimit.kinds import NANO, Amounts
from ratelimit.limits import Charge, Limiter, LimiterUnavailableError, Refused, Reservation, UnknownUser, User, Verdict

PAYER = "pool, {}"
"""The name of an API among users; no user's name has a comma (docs/contracts.md section 2)."""
_RETRY_S = 1.0
"""`retry-after` where the limiter knows none, in seconds (chosen)."""


class Users(Protocol):
    """The store of users, as far as it is needed here."""

    async def create(self, user: User) -> tuple[User, bool]:
        """See `UserStore.create`."""
        ...

    async def update(self, user: User) -> User | None:
        """See `UserStore.update`."""
        ...


class ApiFullError(OverloadedError):
    """The API of a pool has no more room; its pool is closed, so that the next try goes elsewhere, if it can."""


class Tolls:
    """The limits of all APIs that have any."""

    def __init__(
        self, settings: Sequence[PoolSettings], pools: Pools, limiter: Limiter, users: Users,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._pools = pools
        self._limiter = limiter
        self._users = users
        self._clock = clock
        payers = {pool.name: _payer(pool) for pool in settings if pool.api is not None}
        self._payers = {name: payer for name, payer in payers.items() if payer is not None}

    async def pay(self, plan: Plan, ticket: Ticket) -> Reservation | None:
        """Charge the API that the request goes to; None = it has no limits.

        Raises ApiFullError, and LimiterAwayError while limits cannot be checked.
        """
        pool = ticket.decision.pod.pool
        payer = self._payers.get(pool)
        if payer is None:
            return None
        estimate = plan.estimate
        cost = self._pools.prices(pool).cost(estimate.prompt_tokens, estimate.output_tokens)
        amounts = Amounts(1, estimate.tokens, cost)
        try:
            verdict = await self._charged(payer, Charge(payer.name, amounts))
        except (LimiterUnavailableError, UserStoreUnavailableError) as error:
            raise LimiterAwayError("limits of the API cannot be checked now", retry_after_s=_RETRY_S) from error
        if isinstance(verdict, Refused):
            retry_after_s = verdict.retry_after_s or _RETRY_S
            self._pools.close(pool, self._clock() + retry_after_s)
            reached = f"{verdict.kind.field.upper()}: {verdict.kind.shown(verdict.limit)}"
            raise ApiFullError(f"the API of pool {pool} has reached {reached}", retry_after_s=retry_after_s)
        return None if isinstance(verdict, UnknownUser) else verdict.reservation

    async def _charged(self, payer: User, charge: Charge) -> Verdict:
        """Return the verdict; a record that is not there, as after Redis was emptied, is stored first."""
        verdict = await self._limiter.reserve(charge)
        if not isinstance(verdict, UnknownUser):
            return verdict
        await self._users.create(payer)
        return await self._limiter.reserve(charge)

    async def store(self) -> None:
        """Store the limits as they are set now.  Raises UserStoreUnavailableError."""
        for payer in self._payers.values():
            if await self._users.update(payer) is None:
                await self._users.create(payer)


def _payer(pool: PoolSettings) -> User | None:
    api = pool.api
    if api is None or (api.rpm, api.tpm, api.cost_day) == (None, None, None):
        return None
    budgets = {} if api.cost_day is None else {"cost_day": round(api.cost_day * NANO)}
    return User(PAYER.format(pool.name), api.rpm, api.tpm, budgets=budgets)
