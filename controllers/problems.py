"""Problems of objects, told as events: when they have lasted, once, and again while they last.

Lives here: which problem is told when, without I/O.  Not here: what is wrong (the controllers), writing events (kube).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kube.events import About

AGAIN_S = 1800.0
"""How often a lasting problem is told: the server keeps events for an hour."""


class Problem(NamedTuple):
    """One thing that is wrong with an object, or that its owner should know."""

    about: About
    reason: str  # one word in CamelCase
    note: str
    is_warning: bool = True
    patience_s: float = 0.0  # how long it has to last before it is told

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells it from other problems."""
        return self.about.metadata.uid, self.reason, self.note


@dataclass(slots=True)
class _Lasting:
    problem: Problem
    due_s: float


class Problems:
    """The problems that there are.  Times are seconds of one clock."""

    def __init__(self) -> None:
        self._lasting: dict[tuple[str, str, str], _Lasting] = {}

    def replace(self, problems: Iterable[Problem], now_s: float) -> None:
        """Take the problems that there are now; one that was there before keeps its time."""
        before = self._lasting
        self._lasting = {}
        for problem in problems:
            known = before.get(problem.key)
            due_s = known.due_s if known else now_s + problem.patience_s
            self._lasting[problem.key] = _Lasting(problem, due_s)

    def take(self, now_s: float) -> list[Problem]:
        """Return the problems that are due, which then are not due for AGAIN_S."""
        due = [lasting for lasting in self._lasting.values() if lasting.due_s <= now_s]
        for lasting in due:
            lasting.due_s = now_s + AGAIN_S
        return [lasting.problem for lasting in due]

    def next_s(self) -> float | None:
        """Return when the next problem is due; None when there is none."""
        return min((lasting.due_s for lasting in self._lasting.values()), default=None)
