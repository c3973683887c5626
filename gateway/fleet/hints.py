"""Hints: what the optimizer planned, read from Redis every few seconds for the strategies that follow it.

Lives here: reading, how long a hint holds, the debug page.  Not here: keys and formats (traffic), what strategies make
of a plan (routing.plans).

While Redis is away, and while what it holds cannot be read, the last hint of a model stays until it is too old.
"""

import asyncio
from collections.abc import Callable, Mapping
from math import inf

from gateway.fleet.fleet import Fleet
from routing.plans import Plan, Targets
from traffic.connection import Connection, RedisAwayError
from traffic.hint import Hint
from traffic.hint_store import LIFE_S, HintStore

READ_S = 5.0
"""Seconds between two looks (chosen: a hint is renewed every 30 s and holds 120 s; a look is one round trip)."""


class Hints:
    """Keeps the plans of `fleet` what Redis has.  `clock` is the one by which requests are routed."""

    def __init__(self, connection: Connection, fleet: Fleet, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._store = HintStore(connection)
        self._fleet = fleet
        self._clock = clock
        self._read: dict[str, Hint] = {}

    async def run(self) -> None:
        """Read, for ever; cancel to stop."""
        while True:
            await self.refresh()
            await asyncio.sleep(READ_S)

    async def refresh(self) -> None:
        """Read the hints of all models that are known; nothing changes while Redis is away."""
        models = self._fleet.models()
        try:
            redis_s = await self._connection.now_s()
            hints = await self._store.read(models)
        except RedisAwayError:
            return
        now_s = self._clock()
        for model, hint in hints.items():
            if hint is not self._read.get(model):
                age_s = max(0.0, redis_s - hint.created_s)  # a clock that is ahead makes no hint hold longer
                self._fleet.plans.put(model, plan_of(hint, now_s + LIFE_S - age_s))
        self._fleet.plans.keep(models)
        known = self._read | hints
        self._read = {model: known[model] for model in models if model in known}

    def page(self) -> Mapping[str, object]:
        """Return the plan of each model and how it was followed, for /debug/plans."""
        return {model: self._model_page(model, hint) for model, hint in self._read.items()}

    def _model_page(self, model: str, hint: Hint) -> Mapping[str, object]:
        found = self._fleet.plans.of(model)
        if found is None:
            return {}
        plan, split = found
        left_s = plan.expires_s - self._clock()
        return {
            "version": hint.version,
            "created": hint.created_s,
            "holds_s": max(0.0, left_s),
            "expired": left_s <= 0,
            "slo": hint.slo,
            "indexes": (hint.outputs, hint.inputs),
            "deployments": {
                name: {
                    "replicas": hint.replicas.get(name, 0),
                    "wanted": split.wanted.get(name, 0.0),
                    "chosen": split.chosen.get(name, 0),
                }
                for name in sorted({*plan.known, *split.chosen})
            },
        }


def plan_of(hint: Hint, expires_s: float = inf) -> Plan:
    """Return what strategies follow of a hint until `expires_s`."""
    slo = hint.slo or {}
    return Plan(
        hint.version,
        expires_s=expires_s,
        outputs=hint.outputs,
        inputs=hint.inputs,
        replicas=hint.replicas,
        share=hint.share,
        in_share=hint.in_share,
        throughput=hint.throughput,
        targets=Targets(slo.get("ttft", inf), slo.get("itl", slo.get("tpot", inf)), slo.get("e2e", inf)),
    )
