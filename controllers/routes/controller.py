"""The controller of routes: sees what there is, decides what there should be, and does what lies between.

Lives here: which sets are followed, the calls, and when problems are told.  Not here: what there should be (plan), one
step's choice (controllers.owned).  An object whose call fails is tried again by itself, each time later; others go on.
"""

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, ClassVar, NamedTuple

from controllers.controller import look_at_changes, unfollowed
from controllers.owned import Owned, Wanted, id_of, is_settled, settle
from controllers.problems import Problem, Problems
from controllers.routes.objects import (
    FEWER_MATCHES,
    FILTERS,
    GRANTS,
    KINDS,
    ROUTES,
    Route,
    has_too_many_matches,
    verdicts,
)
from controllers.routes.plan import Found, Plan, Rules, ours, plan
from controllers.routes.workloads import ADAPTERS, DEPLOYMENTS, FLEETS, STATEFUL_SETS, Claim, claim_of, has_model
from kube.client import ALL, Client, Selection
from kube.errors import AlreadyExists, ApiError, Conflict
from kube.events import Recorder
from kube.informer import Informer, Pace
from kube.objects import Key, Kind, Object
from kube.queue import WorkQueue
from kube.times import Clocks

WORKERS = 4
"""Calls at a time (chosen): 1,000 routes are made in some seconds."""
PACE = Pace(gather_s=0.1)
"""A storm of events costs ten plans per second."""
TELL = "problems"
"""The key of telling problems, beside the ids of objects."""
LOOK_AGAIN_S = 1.0
"""How soon an object is looked at again that was another one than the set said."""


class _Failure(NamedTuple):
    """An attempt that the server refused, and why."""

    wanted: Wanted | None
    there: Owned | None
    why: str


class RoutesController:
    """The routes, grants and the filter of one Gateway."""

    name: ClassVar[str] = "routes"

    def __init__(self, client: Client, rules: Rules, recorder: Recorder, clocks: Clocks, rng: Random) -> None:
        def informer(kind: Kind[Any], selection: Selection = ALL) -> Informer[Any]:
            return Informer(client, kind, selection, rng, PACE)

        def workloads(kind: Kind[Object]) -> Informer[Object]:
            return Informer(client, kind, ALL, rng, PACE, wanted=has_model)

        home = Selection(rules.home.namespace)
        self._client = client
        self._rules = rules
        self._recorder = recorder
        self._clock = clocks.monotonic
        self._routes: Informer[Route] = informer(ROUTES, home)
        self._grants: Informer[Owned] = informer(GRANTS)
        self._filters: Informer[Owned] = informer(FILTERS, home)
        self._workloads = (workloads(DEPLOYMENTS), workloads(STATEFUL_SETS))
        self._more_workloads = (workloads(ADAPTERS), workloads(FLEETS))
        self._claims: dict[Key, tuple[Object, Claim | None]] = {}
        self._plan = Plan({}, {}, ())
        self._failures: dict[Key, _Failure] = {}  # of the last attempts, by id of the object
        self._problems = Problems()
        self.queue = WorkQueue(self._clock, rng)

    @property
    def followed(self) -> Sequence[Informer[Any]]:
        """The sets that it follows."""
        return *self._required(), self._filters, *self._more_workloads

    def _required(self) -> Sequence[Informer[Any]]:
        """Return the sets without which there is nothing to do; the kinds of others need not be installed."""
        return *self._workloads, self._routes, self._grants

    def missing(self) -> Iterator[str]:
        """Yield why it cannot work: an optional set that is neither known nor absent, as without permission, too."""
        unknown = (informer for informer in self.followed if not informer.is_known)
        return unfollowed(list(dict.fromkeys((*self._required(), *unknown))))

    def states(self) -> dict[str, int]:
        """Return how many routes of ours the Gateway has accepted, refuses, and has not looked at."""
        states = {"accepted": 0, "refused": 0, "pending": 0}
        for route in self._routes.objects.values():
            if route.is_ours:
                said = {verdict.status for verdict in verdicts(self._rules.home, route).values()}
                states["refused" if "False" in said else "accepted" if said else "pending"] += 1
        return states

    async def lead(self) -> None:
        """Look after each change of a set, and do what is due; nothing is left of it when that ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for informer in self.followed:
                    tasks.create_task(look_at_changes(informer, self._look), name=f"look at {informer.kind.name}")
                for _ in range(WORKERS):
                    tasks.create_task(self.queue.work(self._work), name="work")
                self._look()
        finally:
            self.queue.clear()
            self._failures.clear()

    def _look(self) -> None:
        """Decide what there should be, and have worked on what is otherwise; wait where a set is not known yet."""
        is_there = all(informer.is_listed and not informer.is_absent for informer in self._required())
        if not is_there or not all(informer.is_known for informer in self.followed):
            return
        found = self._found()
        self._plan = plan(self._rules, self._all_claims(), found)
        for id_ in self._plan.wanted.keys() | ours(found, self._rules.home):
            if self._is_due(id_, found):
                self.queue.add(id_)
        self._complain()

    def _found(self) -> Found:
        filters = None if self._filters.is_absent else self._filters.objects
        return Found(self._routes.objects, self._grants.objects, filters)

    def _all_claims(self) -> list[Claim]:
        """Return the claims of all workloads; those that did not change are not read again."""
        known = {}
        for informer in (*self._workloads, *self._more_workloads):
            for key, workload in {} if informer.is_absent else informer.objects.items():
                id_ = id_of(informer.kind, key)
                before = self._claims.get(id_)
                if before is None or before[0] is not workload:
                    before = workload, claim_of(informer.kind, workload)
                known[id_] = before
        self._claims = known
        return [claim for _, claim in known.values() if claim is not None]

    def _is_due(self, id_: Key, found: Found) -> bool:
        """Whether there is something to do about an object, other than what failed and is tried again later."""
        wanted, there = self._plan.wanted.get(id_), found.of(id_)
        failure = self._failures.get(id_)
        is_tried = failure is not None and failure.wanted == wanted and failure.there is there
        return not is_settled(wanted, there) and not is_tried

    def _complain(self) -> None:
        refusals = [
            Problem(claim.about, "NotWritten", f"{id_}: {failure.why}")
            for id_, failure in self._failures.items()
            for claim in self._plan.askers.get(id_, ())
        ]
        self._problems.replace((*self._plan.problems, *refusals), self._clock())
        self.queue.add(TELL)

    async def _work(self, id_: Key) -> float | None:
        """Do what is to be done about one object; return when to look at it again.  Raises ApiError."""
        if id_ == TELL:
            return await self._tell()
        wanted, there = self._plan.wanted.get(id_), self._found().of(id_)
        self._failures.pop(id_, None)
        try:
            await settle(self._client, KINDS[id_.partition("/")[0]], wanted, there)
        except (AlreadyExists, Conflict):
            return LOOK_AGAIN_S  # somebody was faster, and the set does not say so yet
        except ApiError as error:
            if self._rules.matches > FEWER_MATCHES and has_too_many_matches(error):
                self._rules = self._rules._replace(matches=FEWER_MATCHES)
                self._look()
                return None
            self._failures[id_] = _Failure(wanted, there, str(error))
            self._complain()
            raise
        return None

    async def _tell(self) -> float | None:
        """Tell the problems that are due; return in how many seconds the next one is."""
        now_s = self._clock()
        for problem in self._problems.take(now_s):
            await self._recorder.tell(problem.about, problem.reason, problem.note, warning=problem.is_warning)
        next_s = self._problems.next_s()
        return None if next_s is None else max(0.0, next_s - now_s)
