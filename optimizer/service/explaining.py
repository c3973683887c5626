"""Why a model has the replicas that it has, stage by stage: which one is missing, or what something waits for.

Lives here: the answer, as JSON values and as text.  Not here: HTTP (pages), the words of a decision (planning).
"""

from collections.abc import Collection, Mapping
from typing import Any

from optimizer.planning.deployments import Deployment
from optimizer.service.board import Board, Model
from optimizer.service.profile_places import profile_key

SHOWN = 20
"""Names of other models that an answer shows."""


def explanation(board: Board, model: Model, traced: Collection[str]) -> dict[str, Any]:
    """Return the state of each stage.  `traced` are the models of which there are traces, as far as it was asked."""
    decision = model.decision
    stages = {"deployments": _deployments(board, model), "traces": _traces(board, model, traced)}
    stages["profiles"] = _profiles(board, model)
    if decision is not None:
        stages |= {name: text for name, text in decision.stages.items() if name not in stages}
    return {
        "model": model.name,
        "stages": stages,
        "missing": _missing(board, model),
        "held": list(decision.held) if decision else [],
        "notes": [*(decision.notes if decision else ()), *board.notes],
        "deployments": {each.key: _deployment(board, model, each) for each in model.deployments},
        "decided_s_ago": round(board.now_s() - model.decided_at_s, 1) if decision else None,
    }


def as_text(page: Mapping[str, Any]) -> str:
    """Return an explanation for people."""
    lines = [f"model: {page['model']}", *(f"missing: {line}" for line in page["missing"])]
    lines += [f"{name}: {text}" for name, text in page["stages"].items()]
    lines += [f"note: {line}" for line in page["notes"]]
    for key, each in page["deployments"].items():
        override = "" if each["override"] is None else f", {each['override']} asked for by hand"
        lines.append(
            f"{key}: {each['published']} replicas published ({each['replicas']} asked for, {each['ready']} ready now"
            f"{override}); profile: {each['profile'] or each['profile_problem']}"
        )
    return "\n".join([*lines, ""])


def _missing(board: Board, model: Model) -> list[str]:
    """Return the stages without which nothing new is decided."""
    missing = []
    if problem := board.deployments_problem():
        missing.append(f"deployments may be out of date: {problem}")
    if board.redis_problem:
        missing.append(f"Redis is away: {board.redis_problem}")
    elif model.last is None:
        missing.append(f"traces: {_no_traces(model.name)}")
    without = [each.key for each in model.deployments if each.key not in board.shelf.places]
    if without:
        missing.append(f"profiles of {', '.join(without)}")
    if model.failure:
        missing.append(f"the last decision failed: {model.failure}")
    return missing


def _deployments(board: Board, model: Model) -> str:
    names = ", ".join(each.key for each in model.deployments)
    problem = board.deployments_problem()
    return f"{len(model.deployments)} ({names})" + (f"; may be out of date: {problem}" if problem else "")


def _traces(board: Board, model: Model, traced: Collection[str]) -> str:
    if board.redis_problem:
        return f"Redis is away: {board.redis_problem}"
    if model.last is None:
        others = ", ".join(sorted(traced)[:SHOWN])
        return _no_traces(model.name) + (f"; there are traces of {others}" if others else "; of no model at all")
    age_s = board.now_s() - model.last.starts_at_s - model.last.duration_s
    return (
        f"the last window ended {age_s:.0f} s ago, {model.last.writers} writers, {model.last.arrivals} arrivals; "
        f"{model.windows} windows read"
    )


def _no_traces(model: str) -> str:
    return (
        f"no key aibrix:{model}_request_trace_* in Redis in the last 10 minutes: "
        "no gateway got a request of the model, counts traffic, or uses this Redis"
    )


def _profiles(board: Board, model: Model) -> str:
    found = sum(each.key in board.shelf.places for each in model.deployments)
    wrong = [
        f"{each.name}: {problem}"
        for each in model.deployments
        if (problem := board.shelf.problems.get(each.key)) is not None
    ]
    return f"{found} of {len(model.deployments)} deployments" + (f" ({'; '.join(wrong)})" if wrong else "")


def _deployment(board: Board, model: Model, deployment: Deployment) -> dict[str, Any]:
    key = deployment.key
    return {
        "replicas": deployment.replicas,
        "ready": deployment.ready,
        "published": board.published(key),
        "decided": model.decision.replicas.get(key) if model.decision else None,
        "override": board.overrides.get(key),
        "min_replicas": deployment.min_replicas,
        "max_replicas": deployment.max_replicas,
        "profile": board.shelf.places.get(key),
        "profile_key": profile_key(model.name, deployment.name),
        "profile_problem": board.shelf.problems.get(key),
    }
