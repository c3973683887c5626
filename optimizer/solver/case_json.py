"""Cases and plans as JSON (docs/contracts.md, section 10): what `forebay plan --json` reads and prints.

Lives here: the fields and their rules.  Not here: numbers and problems (reading), files (forebay.cli).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum, inf
from typing import Any

from optimizer.input.reading import Reader, finite, shown
from optimizer.solver.case import MOST_REPLICAS, Case, GpuType, Limit
from optimizer.solver.plan import Plan
from optimizer.solver.supply import Load, Place, Supply

MOST_COUNT = int(MOST_REPLICAS)
"""Counts of replicas above this are refused, as the plan has none."""
LEAST_HEADROOM = 1e-6
"""A utilisation below this is a mistake."""

SUPPLY_KEYS = ("inventory", "budget", "spot_share", "spot_share_per_domain", "on_demand_min")
LOAD_KEYS = ("gpus", "rate", "headroom", "current", *SUPPLY_KEYS)
CASE_KEYS = ("time_limit_s", "pools", *LOAD_KEYS)
PLACE_KEYS = ("gpu", "gpus_per_replica", "pool", "spot", "preemption", "domain")
GPU_KEYS = ("cost", "throughput", "min", "max", *PLACE_KEYS)
POOL_KEYS = ("priority", "inventory")
MOST_AWAY = 0.99
"""A spot replica that is away for more of the time is no replica."""

Pools = Mapping[str, tuple[int, Mapping[str, int]]]
"""Priority and GPUs by type, by name of the pool."""


def parse_case(text: str | bytes) -> Case:
    """Return the case that a JSON text describes.  Raises InputError with all problems."""
    reader = CaseReader()
    case = reader.case(reader.load(text))
    reader.close()
    return case


def plan_page(case: Case, plan: Plan, solve_s: float) -> dict[str, Any]:
    """Return the answer as JSON values."""
    return {
        **load_page(case, plan),
        "gap": plan.gap,
        "solver": plan.solver,
        "solve_s": solve_s,
        "verified": not plan.problems,
        "problems": list(plan.problems),
    }


def load_page(case: Case, plan: Plan) -> dict[str, Any]:
    """Return what a plan does with a load."""
    names = [gpu.name for gpu in case.types]
    return {
        "replicas": dict(zip(names, plan.replicas, strict=True)),
        "cost": plan.cost,
        "assignment": dict(zip(names, map(list, plan.shares), strict=True)),
        "unserved": list(plan.unserved),
        "unserved_rate": case.lost(plan.unserved),
        "migration": plan.migration,
        "limits": limits_page(case.limits, plan.replicas),
    }


def limits_page(limits: Sequence[Limit], replicas: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return how much of each limit is used, and how much there is."""
    return {
        limit.name: {
            "used": fsum(weight * n for weight, n in zip(limit.weights, replicas, strict=True)),
            "most": limit.most,
        }
        for limit in limits
    }


class CaseReader(Reader):
    """Reads the fields of cases."""

    def case(self, value: Any) -> Case:
        """Return the case of a whole input."""
        fields = self.object("the input", value, CASE_KEYS, required=("gpus", "rate"))
        pools = self.pools(fields.get("pools", {}))
        case, _ = self.limited("", fields, pools, own_pools=pools)
        return replace(case, time_limit_s=self.time_limit(fields, Case.time_limit_s))

    def pools(self, value: Any) -> Pools:
        """Return the pools of an input."""
        pools = {}
        for name, pool in self.object("pools", value).items():
            key = f"pools.{name}"
            fields = self.object(key, pool, POOL_KEYS)
            priority = self._count(f"{key}.priority", fields.get("priority", 0))
            pools[name] = priority, self._counts(f"{key}.inventory", fields.get("inventory", {}))
        return pools

    def time_limit(self, fields: Mapping[str, Any], default_s: float) -> float:
        """Return the time limit of an input in seconds."""
        return self.number("time_limit_s", fields.get("time_limit_s", default_s), above=0.0)

    def limited(self, prefix: str, fields: Mapping[str, Any], pools: Pools, own_pools: Pools) -> Load:
        """Return a case within its own supply, and the places of its types; `own_pools` are a part of the supply."""
        rates = self._numbers(f"{prefix}rate", fields.get("rate", []))
        gpus = self.object(f"{prefix}gpus", fields.get("gpus", {}))
        found = [self._gpu(f"{prefix}gpus.{name}", name, gpu, len(rates), pools) for name, gpu in gpus.items()]
        types, places = tuple(gpu for gpu, _ in found), tuple(place for _, place in found)
        headroom = self.number(f"{prefix}headroom", fields.get("headroom", Case.headroom), least=LEAST_HEADROOM)
        current = self._current(f"{prefix}current", fields.get("current"), types)
        supply = self.supply(prefix, fields, own_pools, places)
        case = Case(types, rates, max(headroom, 1 / headroom), current)
        return replace(case, limits=self.limits(prefix, [(case, places)], supply)), places

    def supply(self, prefix: str, fields: Mapping[str, Any], pools: Pools, places: Sequence[Place]) -> Supply:
        """Return the supply of an input, whose GPU types must be those of its replicas."""
        gpus = self._counts(f"{prefix}inventory", fields.get("inventory", {}))
        pool_gpus = {name: gpus for name, (_, gpus) in pools.items()}
        for key, named, known in [
            (f"{prefix}inventory", gpus, {place.gpu for place in places}),
            *((f"pools.{at}.inventory", of, {p.gpu for p in places if p.pool == at}) for at, of in pool_gpus.items()),
        ]:
            self.problems += [f"{key}.{gpu}: no replica has such GPUs" for gpu in named if gpu not in known]
        budget = fields.get("budget")
        return Supply(
            gpus,
            pool_gpus,
            None if budget is None else self.number(f"{prefix}budget", budget),
            self._fraction(f"{prefix}spot_share", fields.get("spot_share")),
            self._fraction(f"{prefix}spot_share_per_domain", fields.get("spot_share_per_domain")),
            self._count(f"{prefix}on_demand_min", fields.get("on_demand_min", 0)),
        )

    def limits(self, prefix: str, loads: Sequence[Load], supply: Supply) -> tuple[Limit, ...]:
        """Return the limits of a supply on the loads; one that no numbers of replicas keep is a problem."""
        if self.problems:
            return ()
        limits, types = supply.limits(loads), [gpu for case, _ in loads for gpu in case.types]
        for limit in limits:
            best = [
                gpu.lowest if weight >= 0 else inf if gpu.highest is None else gpu.highest
                for gpu, weight in zip(types, limit.weights, strict=True)
            ]
            least = fsum(weight * n for weight, n in zip(limit.weights, best, strict=True) if weight)
            if least > limit.most and limit.excess([0 if n == inf else int(n) for n in best]) > 0:
                self.problems.append(f"{prefix}{limit.told(least)}, whatever the plan")
        return limits

    def _gpu(self, key: str, name: str, value: Any, buckets: int, pools: Pools) -> tuple[GpuType, Place]:
        fields = self.object(key, value, GPU_KEYS, required=("cost", "throughput"))
        cost = self.number(f"{key}.cost", fields.get("cost", 0.0))
        throughput = self._numbers(f"{key}.throughput", fields.get("throughput", [0.0] * buckets))
        if isinstance(fields.get("throughput"), list) and len(throughput) != buckets:
            self.problems.append(f"{key}.throughput has {len(throughput)} buckets, rate has {buckets}")
        lowest = self._count(f"{key}.min", fields.get("min", 0))
        highest = None if fields.get("max") is None else self._count(f"{key}.max", fields["max"])
        if highest is not None and highest < lowest:
            self.problems.append(f"{key}.max = {highest}, must be at least min = {lowest}")
        place = self._place(key, name, fields, pools)
        priority, _ = pools.get(place.pool, (0, {}))
        return GpuType(name, cost, place.lasting(throughput), lowest, highest, priority), place

    def _place(self, key: str, name: str, fields: Mapping[str, Any], pools: Pools) -> Place:
        gpu, pool, domain = (
            self._text(f"{key}.{field}", fields.get(field, default))
            for field, default in (("gpu", name), ("pool", ""), ("domain", ""))
        )
        if pool and pool not in pools:
            self.problems.append(f"{key}.pool = {shown(pool)}, must be one of pools: {', '.join(pools) or 'none'}")
        gpus = self._count(f"{key}.gpus_per_replica", fields.get("gpus_per_replica", 1))
        is_spot = fields.get("spot", False)
        if not isinstance(is_spot, bool):
            self.problems.append(f"{key}.spot = {shown(is_spot)}, must be true or false")
        away = self._fraction(f"{key}.preemption", fields.get("preemption", 0.0), MOST_AWAY) or 0.0
        if away and is_spot is False:
            self.problems.append(f"{key}.preemption = {away:g}, needs spot = true")
        return Place(gpu, gpus, pool, is_spot is True, away, domain)

    def _current(self, key: str, value: Any, types: Sequence[GpuType]) -> tuple[int, ...] | None:
        """Return the replicas that run now; a type that is not named has none."""
        if value is None:
            return None
        names = [gpu.name for gpu in types]
        counts = {name: self._count(f"{key}.{name}", n) for name, n in self.object(key, value, tuple(names)).items()}
        return tuple(counts.get(name, 0) for name in names)

    def object(
        self, key: str, value: Any, known: Sequence[str] | None = None, required: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        """Return an object without the keys that are not known, which are problems like missing ones."""
        if not isinstance(value, dict):
            self.problems.append(f"{key} = {shown(value)}, must be an object")
            return {}
        prefix = "" if key == "the input" else f"{key}."
        if known is not None:
            unknown = [name for name in value if name not in known]
            self.problems += [
                f"{prefix}{name}: unknown key, known are {', '.join(known) or 'none'}" for name in unknown
            ]
        self.problems += [f"{prefix}{name}: is missing" for name in required if name not in value]
        return {name: inner for name, inner in value.items() if known is None or name in known}

    def _numbers(self, key: str, value: Any) -> tuple[float, ...]:
        if not isinstance(value, list):
            self.problems.append(f"{key} = {shown(value)}, must be a list of numbers")
            return ()
        return tuple(self.number(f"{key}[{index}]", each) for index, each in enumerate(value))

    def _count(self, key: str, value: Any) -> int:
        number = finite(value)
        if number is not None and number == int(number) and 0 <= number <= MOST_COUNT:
            return int(number)
        self.problems.append(f"{key} = {shown(value)}, must be a whole number from 0 to {MOST_COUNT}")
        return 0

    def _counts(self, key: str, value: Any) -> Mapping[str, int]:
        return {name: self._count(f"{key}.{name}", count) for name, count in self.object(key, value).items()}

    def _fraction(self, key: str, value: Any, most: float = 1.0) -> float | None:
        if value is None:
            return None
        number = self.number(key, value)
        if number > most:
            self.problems.append(f"{key} = {shown(value)}, must be a number <= {most:g}")
        return number

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            self.problems.append(f"{key} = {shown(value)}, must be a text")
        return value if isinstance(value, str) else ""
