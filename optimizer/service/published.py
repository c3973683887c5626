"""The page that autoscalers read: how many replicas one deployment should have (docs/contracts.md, section 6).

The value is 100 x replicas, so that an autoscaler's target of 100 means exactly these, and one of 50 twice as many.

Lives here: its text.  Not here: HTTP (pages).
"""

from optimizer.planning.decider import Decision
from optimizer.planning.deployments import Deployment
from optimizer.service.board import Model

HUNDREDTHS = 100
GAUGE, PLAIN_GAUGE = "vllm:deployment_replicas", "gpuopt_replicas"


def gauge_page(deployment: Deployment, model: Model, replicas: int, now_s: float, *, raw: bool) -> str:
    """Return the page: one sample of the gauge, `raw` without the factor of 100, and what is to be known beside it."""
    value = replicas if raw else HUNDREDTHS * replicas
    lines = _family(GAUGE, "Replicas that the deployment should have, times 100.")
    lines.append(f'{GAUGE}{{model_name="{_escaped(model.name)}"}} {value}')
    decision = model.decision
    labels = f'{{namespace="{_escaped(deployment.namespace)}",deployment="{_escaped(deployment.name)}"}}'
    lines += _family(PLAIN_GAUGE, "Replicas that the deployment should have.")
    lines.append(f"{PLAIN_GAUGE}{labels} {replicas}")
    if decision is not None:
        if deployment.key in decision.replicas:
            lines += _family("gpuopt_plan_replicas", "Replicas that were decided, whatever is asked for by hand.")
            lines.append(f"gpuopt_plan_replicas{labels} {decision.replicas[deployment.key]}")
        lines += _family("gpuopt_plan_age_seconds", "Time since the last decision.")
        lines.append(f"gpuopt_plan_age_seconds{labels} {max(0.0, now_s - model.decided_at_s):.3f}")
        if (share := unserved_share(decision)) is not None:
            lines += _family("gpuopt_unserved_share", "Share of the model's requests that the plan leaves unserved.")
            lines.append(f"gpuopt_unserved_share{labels} {share:.6g}")
    return "\n".join([*lines, ""])


def unserved_share(decision: Decision) -> float | None:
    """Return the share of a model's requests that the plan leaves unserved; None = nothing was planned."""
    lost = decision.unserved_rate
    return lost / decision.demand.rate if lost else lost


def _family(name: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge"]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
