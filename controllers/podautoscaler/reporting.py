"""Statuses and events: all that people are told of an autoscaler.

Lives here: when a status is written and an event is told, and the calls.  Not here: what is true (scaler, mirror), what
a status says (statuses, conditions).
"""

import math
from collections.abc import Iterator, Set
from contextlib import suppress
from typing import NamedTuple

import msgspec

from autoscaling.spec import Spec
from controllers.podautoscaler.conditions import WELL, conditions
from controllers.podautoscaler.objects import AUTOSCALERS, PodAutoscaler, Status
from controllers.podautoscaler.scaler import Step
from controllers.podautoscaler.statuses import Look, after, is_due
from controllers.problems import Problem, Problems
from kube.client import Client
from kube.errors import NotFound
from kube.events import About, Recorder
from kube.times import Clocks


class _Known(NamedTuple):
    """The status as it is, as it was written last, when that was, and what is wrong."""

    status: Status
    written: Status
    at_s: float
    problems: tuple[Problem, ...] = ()


class Reporter:
    """The statuses and events of all autoscalers of a process."""

    def __init__(self, client: Client, recorder: Recorder, clocks: Clocks) -> None:
        self._client = client
        self._recorder = recorder
        self._clock, self._wall = clocks
        self._known: dict[str, _Known] = {}  # by uid
        self._problems = Problems()

    async def report(self, autoscaler: PodAutoscaler, spec: Spec | None, step: Step) -> None:
        """Take one look at an autoscaler, and write its status where that is worth it.  Raises ApiError."""
        about, notes = About(AUTOSCALERS, autoscaler.metadata), spec.notes if spec else ()
        uid, now_s = autoscaler.metadata.uid, self._clock()
        known = self._known.get(uid) or _Known(autoscaler.status, autoscaler.status, -math.inf)
        look = Look(conditions(step.found, notes), step.desired, step.actual, step.change, step.scaled_at, step.bounds)
        status = after(known.status, look, autoscaler.metadata.generation, self._wall())
        self._known[uid] = known._replace(status=status, problems=(*_problems(about, step, notes),))
        await self._tell_change(about, step)
        if is_due(known.written, status, now_s - known.at_s):
            await self._write(autoscaler, status)
            self._known[uid] = self._known[uid]._replace(written=status, at_s=now_s)

    async def tell(self) -> float | None:
        """Tell the problems that are due; return in how many seconds the next one is."""
        now_s = self._clock()
        self._problems.replace((problem for known in self._known.values() for problem in known.problems), now_s)
        for problem in self._problems.take(now_s):
            await self._recorder.tell(problem.about, problem.reason, problem.note, warning=problem.is_warning)
        next_s = self._problems.next_s()
        return None if next_s is None else max(0.0, next_s - now_s)

    def forget_others(self, uids: Set[str]) -> None:
        """Let go of autoscalers other than these."""
        for uid in self._known.keys() - uids:
            del self._known[uid]

    def clear(self) -> None:
        """Let go of all: another process may write meanwhile."""
        self._known.clear()

    async def _write(self, autoscaler: PodAutoscaler, status: Status) -> None:
        metadata = autoscaler.metadata
        fields = {"status": msgspec.to_builtins(status)}
        with suppress(NotFound):  # gone meanwhile
            await self._client.merge(AUTOSCALERS, metadata.name, metadata.namespace, fields, "status")

    async def _tell_change(self, about: About, step: Step) -> None:
        change = step.change
        if change and change.success:
            note = f"New size: {change.new_scale} instead of {change.previous_scale}; {change.reason}"
            await self._recorder.tell(about, "SuccessfulRescale", note, action="Rescale")
        elif change:
            note = f"{change.new_scale} instead of {change.previous_scale}: {change.error}"
            await self._recorder.tell(about, "FailedRescale", note, warning=True, action="Rescale")


def _problems(about: About, step: Step, notes: tuple[str, ...]) -> Iterator[Problem]:
    for kind, said in step.found.items():
        if said.status not in {WELL[kind].status, "Unknown"}:
            yield Problem(about, said.reason, said.message)
    for note in notes:
        yield Problem(about, "SpecMaySurprise", note)
