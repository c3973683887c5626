"""All that the optimizer knows now, by model: deployments, traffic, the last decision.  Pages and metrics read it.

Lives here: the state, and changes to it that are made by hand.  Not here: the loop that fills it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import fsum

from optimizer.planning.decider import Decider, Decision
from optimizer.planning.deployments import Deployment
from optimizer.service.history import History
from optimizer.service.profile_shelf import ProfileShelf
from traffic.window import Window

RECENT = 6
"""Windows over which the split of requests is compared with the plan: a minute."""
LEAST_SENT = 50
"""Requests without which the realised split says nothing (chosen: chance alone moves fewer by 20 %)."""


@dataclass(slots=True)
class Model:
    """One model: its deployments, what was heard of its traffic, what was decided."""

    name: str
    decider: Decider
    deployments: tuple[Deployment, ...] = ()
    """Those that are planned: not those that were taken out by hand."""
    is_read: bool = False
    """Whether its traces were asked for."""
    windows: int = 0
    """Windows read so far."""
    last: Window | None = None
    recent: deque[Window] = field(default_factory=lambda: deque(maxlen=RECENT))
    decision: Decision | None = None
    decided_at_s: float = 0.0
    """Unix time, by the clock of Redis."""
    decided_waiting: int = 0
    """Requests in flight and in queues when it was decided."""
    took_s: float = 0.0
    is_due: bool = True
    """Whether something changed that should not wait for the next decision."""
    failure: str = ""
    """Why the last attempt to decide failed; the decision before it stands."""
    history: History = field(default_factory=History)

    def learn(self, window: Window) -> None:
        """Take a window in."""
        self.decider.learn(window)
        self.windows += 1
        self.last = window
        self.recent.append(window)

    @property
    def read_until_s(self) -> float | None:
        """Beginning of the last window that was read; None = none was."""
        return None if self.last is None else self.last.starts_at_s

    def split(self) -> dict[str, tuple[float, float]]:
        """Return planned and realised share of requests by name of the deployment; nothing while either is unknown."""
        sent: dict[str, int] = {}
        for window in self.recent:
            for name, count in window.sent.items():
                sent[name] = sent.get(name, 0) + count
        total, planned = sum(sent.values()), self._planned()
        if total < LEAST_SENT or not planned:
            return {}
        return {name: (planned.get(name, 0.0), sent.get(name, 0) / total) for name in {*planned, *sent}}

    def drift(self) -> float | None:
        """Return the share of requests that went elsewhere than planned, [0, 1]; None while it is unknown."""
        split = self.split()
        return fsum(abs(planned - real) for planned, real in split.values()) / 2 if split else None

    def _planned(self) -> dict[str, float]:
        decision = self.decision
        if decision is None or decision.case is None or decision.plan is None:
            return {}
        names = {deployment.key: deployment.name for deployment in self.deployments}
        rates: dict[str, float] = {}
        for gpu, shares in zip(decision.case.types, decision.plan.shares, strict=True):
            name = names.get(gpu.name, gpu.name)
            served = fsum(rate * share for rate, share in zip(decision.case.rates, shares, strict=True))
            rates[name] = rates.get(name, 0.0) + served
        total = fsum(rates.values())
        return {name: rate / total for name, rate in rates.items()} if total else {}


class Board:
    """All models."""

    def __init__(
        self,
        new_decider: Callable[[], Decider],
        now_s: Callable[[], float],
        deployments_problem: Callable[[], str],
    ) -> None:
        self._new_decider = new_decider
        self.now_s = now_s
        """Returns the Unix time by the clock of Redis, as far as it is known."""
        self.deployments_problem = deployments_problem
        """Returns why deployments may be out of date; empty = they are not."""
        self.models: dict[str, Model] = {}
        self.shelf = ProfileShelf()
        self.notes: tuple[str, ...] = ()
        """Files that are profiles of no known deployment."""
        self.redis_problem = "it was not asked yet"
        """Why Redis did not answer; empty = it did."""
        self.overrides: dict[str, int] = {}
        """Replicas that somebody asked for, by key of the deployment."""
        self.news = asyncio.Event()
        """Set whenever a model is due before its time."""
        self._was_told = False
        self._deployments: dict[str, Deployment] = {}
        self._stopped: set[str] = set()

    def deployment(self, key: str) -> Deployment | None:
        """Return a deployment that is known, planned or not."""
        return self._deployments.get(key)

    def planned(self) -> list[Deployment]:
        """Return all deployments that are planned."""
        return [each for model in self.models.values() for each in model.deployments]

    def not_ready(self) -> list[str]:
        """Return why autoscalers should not ask yet."""
        if not self._was_told:
            return [f"no deployments are known yet: {self.deployments_problem()}"]
        return [f"{name}: nothing was decided yet" for name, each in self.models.items() if each.decision is None]

    def problems(self) -> list[str]:
        """Return what is away, although the last decisions are told."""
        redis = f"Redis is away: {self.redis_problem}" if self.redis_problem else ""
        stale = f"deployments may be out of date: {problem}" if (problem := self.deployments_problem()) else ""
        return [line for line in (redis, stale) if line]

    def put_deployments(self, found: Iterable[Deployment]) -> None:
        """Take in all deployments that there are; a model without any is forgotten."""
        self._was_told = True
        self._deployments = {each.key: each for each in found}
        self._stopped &= self._deployments.keys()
        self.overrides = {key: n for key, n in self.overrides.items() if key in self._deployments}
        self._sort()

    def start(self, key: str) -> bool:
        """Plan a deployment that was taken out; return whether it was."""
        was_out = key in self._stopped
        self._stopped.discard(key)
        self._sort()
        return was_out

    def stop(self, key: str) -> None:
        """Take a deployment out of all plans."""
        self._stopped.add(key)
        self._sort()

    def override(self, key: str, replicas: int) -> None:
        """Publish so many replicas of a known deployment whatever is planned; fewer than 0 ends that."""
        self.overrides.pop(key, None)
        if replicas >= 0:
            self.overrides[key] = replicas
        self.hurry(self._deployments[key].model)

    def hurry(self, *models: str) -> None:
        """Have these models decided at once."""
        for name in models:
            if name in self.models:
                self.models[name].is_due = True
                self.news.set()

    def published(self, key: str) -> int | None:
        """Return the replicas that a deployment should have; None = it is not planned, or nothing was decided yet."""
        deployment = self._deployments.get(key)
        model = self.models.get(deployment.model) if deployment else None
        if key in self._stopped or model is None:
            return None
        decided = model.decision.replicas.get(key) if model.decision else None
        return self.overrides.get(key, decided)

    def _sort(self) -> None:
        """Give each model its deployments; one whose deployments are others now is due."""
        by_model: dict[str, list[Deployment]] = {}
        for key, deployment in sorted(self._deployments.items()):
            if key not in self._stopped:
                by_model.setdefault(deployment.model, []).append(deployment)
        for name in self.models.keys() - by_model.keys():
            del self.models[name]
        for name, deployments in by_model.items():
            model = self.models.setdefault(name, Model(name, self._new_decider()))
            if _lasting(model.deployments) != _lasting(deployments):
                self.hurry(name)
            model.deployments = tuple(deployments)


def _lasting(deployments: Iterable[Deployment]) -> list[Deployment]:
    """Return the deployments without their counts of replicas, which change because of decisions."""
    return [replace(each, replicas=0, ready=0) for each in deployments]


def by_name(values: Mapping[str, int]) -> str:
    """Return numbers by name in one line, sorted."""
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items())) or "none"
