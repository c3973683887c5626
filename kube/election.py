"""Leader election by a Lease: of several equal processes one acts, and another one when that is gone.

Lives here: who leads, by the record in the Lease.  Not here: what a leader does (controllers).  The rules are
client-go's: the clocks of two machines are never compared; a candidate measures by its own clock how long the record
has not changed.  A leader that cannot renew stops `renew_by_s` after its last renewal, before others may take over.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import structlog

from kube.client import Client
from kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from kube.objects import Kind, Object, body
from kube.times import Clocks, micro_timestamp

log = structlog.get_logger(__name__)

JITTER = 0.2
"""Share by which a wait may be longer, so that candidates do not look together (client-go)."""

Lead = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Terms:
    """The lengths of an election, in seconds; the defaults are client-go's.  lease_s > renew_by_s > retry_s."""

    lease_s: int = 15  # a record that has not changed for so long may be taken over
    renew_by_s: float = 10.0  # a leader that has not renewed for so long leads no more
    retry_s: float = 2.0  # between two looks, jittered


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The record: who leads and since when."""

    holder_identity: str = ""  # empty: given up
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class Lease(Object, frozen=True):
    """A Lease of coordination.k8s.io."""

    spec: LeaseSpec = LeaseSpec()


LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases", Lease)


class Election:
    """One candidate, `identity`, for the Lease of this name."""

    def __init__(
        self, client: Client, name: str, namespace: str, *, identity: str, clocks: Clocks, terms: Terms | None = None
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._clock, self._wall = clocks
        self._terms = terms or Terms()
        self._seen: Lease | None = None
        self._seen_s = 0.0  # when the record was seen to change
        self._renewed_s: float | None = None  # when our last renewal was asked for; None: we do not lead

    @property
    def is_leader(self) -> bool:
        """Whether this candidate leads now; ends by itself when renewals fail or the process was stopped."""
        return self._renewed_s is not None and self._clock() - self._renewed_s < self._terms.renew_by_s

    async def step(self) -> None:
        """Look at the Lease once: renew it, take it if it is free, or remember who leads.  Raises ApiError."""
        asked_s = self._clock()
        try:
            self._see(await self._read())
            if self._is_free(asked_s):
                self._see(await self._write(self._identity))
                self._renewed_s = asked_s
            else:
                self._renewed_s = None
        except (Conflict, AlreadyExists):
            self._renewed_s = None  # another candidate was faster

    async def _read(self) -> Lease | None:
        try:
            return await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return None

    def _see(self, lease: Lease | None) -> None:
        if lease is None or self._seen is None or lease.spec != self._seen.spec:
            self._seen_s = self._clock()
        self._seen = lease

    def _is_free(self, now_s: float) -> bool:
        """Whether nobody else leads.  Measured from when the record was seen to change, never by its own times."""
        if self._seen is None or self._seen.spec.holder_identity in {"", self._identity}:
            return True
        return now_s - self._seen_s >= self._seen.spec.lease_duration_seconds

    async def _write(self, holder: str) -> Lease:
        """Write that `holder` leads.  Raises Conflict or AlreadyExists where somebody wrote since the last look."""
        old = self._seen.spec if self._seen else LeaseSpec()
        now = micro_timestamp(self._wall())
        is_new = old.holder_identity != self._identity
        acquired, transitions = (
            (now, old.lease_transitions + 1) if is_new else (old.acquire_time, old.lease_transitions)
        )
        spec = LeaseSpec(holder, self._terms.lease_s, acquired, now, transitions)
        if self._seen is None:
            return await self._client.create(LEASES, body(LEASES, self._name, self._namespace, spec=spec))
        version = {"resourceVersion": self._seen.metadata.resource_version}
        return await self._client.replace(
            LEASES, body(LEASES, self._name, self._namespace, metadata=version, spec=spec)
        )

    async def release(self) -> None:
        """Give the Lease up, so that another candidate need not wait for its end."""
        if self.is_leader:
            self._renewed_s = None
            with contextlib.suppress(ApiError, TimeoutError):
                async with asyncio.timeout(self._terms.retry_s):
                    await self._write("")

    async def run(self, lead: Lead, rng: Random) -> None:
        """Stand for election until `lead` ends; it runs while this candidate leads, and is cancelled when it does not.

        The Lease is given up before the error of `lead` is raised, and when this is cancelled.
        """
        leading: asyncio.Task[None] | None = None
        try:
            while leading is None or not leading.done():
                await self._try_step()
                leading = await self._let(leading, lead)
                await self._pause(leading, rng)
        finally:
            await _stop(leading)
            await self.release()
        leading.result()

    async def _try_step(self) -> None:
        try:
            async with asyncio.timeout(min(self._terms.renew_by_s / 2, self._left_s())):
                await self.step()
        except (ApiError, TimeoutError) as error:
            log.warning("kube_lease_not_reached", lease=self._name, why=str(error) or type(error).__name__)

    def _left_s(self) -> float:
        """Return for how long this candidate leads without a renewal, infinite when it does not lead."""
        if self._renewed_s is None:
            return math.inf
        return max(0.0, self._renewed_s + self._terms.renew_by_s - self._clock())

    async def _let(self, leading: asyncio.Task[None] | None, lead: Lead) -> asyncio.Task[None] | None:
        """Start or stop leading, as is due."""
        if self.is_leader == (leading is not None):
            return leading
        log.info("kube_leads" if self.is_leader else "kube_leads_no_more", lease=self._name, identity=self._identity)
        if self.is_leader:
            return asyncio.create_task(lead(), name=f"lead {self._name}")
        self._renewed_s = None
        await _stop(leading)
        return None

    async def _pause(self, leading: asyncio.Task[None] | None, rng: Random) -> None:
        """Wait until the next look is due, `leading` has ended or may not go on."""
        wait_s = self._terms.retry_s * (1 + JITTER * rng.random())
        if leading is None:
            await asyncio.sleep(wait_s)
        else:
            await asyncio.wait((leading,), timeout=min(wait_s, self._left_s()))


async def _stop(leading: asyncio.Task[None] | None) -> None:
    if leading is not None and not leading.done():
        leading.cancel()
        await asyncio.wait((leading,))
