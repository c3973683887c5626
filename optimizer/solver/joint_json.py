"""Several models as JSON (docs/contracts.md, section 10): what `forebay plan --json` reads and prints of a joint case.

Lives here: which of both an input is, and the fields around the models.  Not here: the fields of a model (case_json).
"""

from math import fsum
from typing import Any

from optimizer.solver.case import Case
from optimizer.solver.case_json import LOAD_KEYS, SUPPLY_KEYS, CaseReader, limits_page, load_page
from optimizer.solver.joint import TIME_LIMIT_S, JointCase, JointPlan
from optimizer.solver.plan import GREEDY, HIGHS

JOINT_KEYS = ("models", "time_limit_s", "pools", *SUPPLY_KEYS)


def parse_input(text: str | bytes) -> Case | JointCase:
    """Return the case of one model, or of several under `models`.  Raises InputError with all problems."""
    reader = _Reader()
    value = reader.load(text)
    case = reader.joint(value) if isinstance(value, dict) and "models" in value else reader.case(value)
    reader.close()
    return case


def joint_page(joint: JointCase, made: JointPlan, solve_s: float) -> dict[str, Any]:
    """Return the answer as JSON values."""
    models = {name: load_page(joint.cases[name], plan) for name, plan in made.plans.items()}
    return {
        "models": models,
        **{key: fsum(page[key] for page in models.values()) for key in ("cost", "unserved_rate", "migration")},
        "limits": limits_page(joint.limits, made.replicas),
        "joint": made.is_joint,
        "gap": made.gap,
        "solver": GREEDY if any(plan.solver == GREEDY for plan in made.plans.values()) else HIGHS,
        "solve_s": solve_s,
        "verified": not made.problems,
        "problems": list(made.problems),
    }


class _Reader(CaseReader):
    """Reads the fields of joint cases."""

    def joint(self, value: Any) -> JointCase:
        """Return the joint case of a whole input."""
        fields = self.object("the input", value, JOINT_KEYS)
        pools = self.pools(fields.get("pools", {}))
        loads = {}
        for name, model in self.object("models", fields["models"]).items():
            key = f"models.{name}"
            of_model = self.object(key, model, LOAD_KEYS, required=("gpus", "rate"))
            loads[name] = self.limited(f"{key}.", of_model, pools, own_pools={})
        supply = self.supply("", fields, pools, [place for _, places in loads.values() for place in places])
        cases = {name: case for name, (case, _) in loads.items()}
        if len({case.current is None for case in cases.values()}) > 1:
            self.problems.append("current: must be given of each model or of none")
        limit_s = self.time_limit(fields, TIME_LIMIT_S)
        return JointCase(cases, self.limits("", list(loads.values()), supply), limit_s)
