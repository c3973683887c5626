"""Decisions as JSON values, for /plan and /history.

Lives here: the fields.  Not here: HTTP (pages).
"""

from typing import Any

from optimizer.planning.decider import Decision
from optimizer.service.board import Board, Model
from optimizer.solver.case_json import plan_page


def plan_values(board: Board, model: Model, decision: Decision) -> dict[str, Any]:
    """Return the last decision of a model: what is published, the plan behind it, and why."""
    case, plan = decision.case, decision.plan
    return {
        "model": model.name,
        "decided_at_s": model.decided_at_s,
        "published": {each.key: board.published(each.key) for each in model.deployments},
        "replicas": dict(decision.replicas),
        "cost": decision.cost,
        "demand": {"rate": decision.demand.rate, "backlog_rate": decision.demand.backlog_rate},
        "buckets": buckets(decision),
        "plan": plan_page(case, plan, model.took_s) if case and plan else None,
        "held": list(decision.held),
        "notes": list(decision.notes),
        "stages": dict(decision.stages),
        "hint_version": decision.hint.version if decision.hint else None,
    }


def history_values(model: Model) -> dict[str, Any]:
    """Return the last day of a model, and the lengths of its requests."""
    return {
        "model": model.name,
        "moments": model.history.page(),
        "lengths": buckets(model.decision) if model.decision else [],
        "split": {name: {"planned": planned, "sent": sent} for name, (planned, sent) in sorted(model.split().items())},
    }


def buckets(decision: Decision) -> list[dict[str, float]]:
    """Return the demand by lengths: mean tokens of input and output, and requests per second."""
    return [
        {"input_tokens": each.input_tokens, "output_tokens": each.output_tokens, "rate": each.rate}
        for each in decision.grid.buckets
    ]
