"""Questions of "what if": another rate, other lengths, other targets, without some deployments.

Nothing that is asked here changes what is published.

Lives here: the question, its bounds, the answer.  Not here: HTTP (pages), cases and plans (optimizer.planning).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Annotated, Any

from pydantic import Field

from optimizer.input.reading import InputError
from optimizer.planning.cases import MARGIN, buckets_of, offer_of, unfit
from optimizer.planning.demand import Demand
from optimizer.planning.deployments import Deployment
from optimizer.profiles.capacity import Slo
from optimizer.profiles.profile import Profile
from optimizer.service.documents import Document, read_value
from optimizer.solver.case import Case, GpuType
from optimizer.solver.case_json import parse_case, plan_page
from optimizer.solver.plan import make_plan
from traffic.window import index_of

MOST_TYPES, MOST_BUCKETS = 20, 400
MOST_S = 2.0
"""A plan takes so long at most."""

Positive = Annotated[float, Field(gt=0, le=1e9)]
Tokens = Annotated[int, Field(ge=0, le=10_000_000)]


class Length(Document):
    """Requests of one length, and their part of all."""

    input_tokens: Tokens
    output_tokens: Tokens
    weight: Positive = 1.0


class Targets(Document):
    """Mean latencies in seconds."""

    ttft: Positive | None = None
    itl: Positive | None = None
    e2e: Positive | None = None


class WhatIf(Document):
    """A question; what is left out is as it is now."""

    model: str
    rate: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Requests per second."""
    factor: Positive = 1.0
    """The rate is so many times as high."""
    lengths: Annotated[list[Length], Field(min_length=1, max_length=MOST_BUCKETS)] | None = None
    slo: Targets | None = None
    margin: Annotated[float, Field(ge=1, le=1e6)] = MARGIN
    without: list[str] = Field(default_factory=list, max_length=1000)
    """Names of deployments that there are not."""
    max_replicas: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict)
    """By name of the deployment."""


@dataclass(frozen=True, slots=True)
class Now:
    """A model as it is: what a question changes."""

    demand: Demand
    deployments: tuple[Deployment, ...]
    profiles: Mapping[str, Profile]


def question_of(body: Any) -> WhatIf:
    """Return the question of a JSON value.  Raises InputError."""
    return read_value(body, WhatIf)


def answer(question: WhatIf, now: Now) -> dict[str, Any]:
    """Return the plan for a question.  Takes up to some seconds.  Raises InputError where nothing can be planned."""
    names = {each.name for each in now.deployments}
    if unknown := sorted({*question.without, *question.max_replicas} - names):
        raise InputError([f"{name}: is no deployment of {question.model}" for name in unknown])
    buckets = buckets_of(_demand(question, now.demand))
    slo = Slo(question.slo.ttft, question.slo.itl, question.slo.e2e) if question.slo else None
    types, notes = [], []
    for each in now.deployments:
        profile = now.profiles.get(each.name)
        why = "has no profile" if profile is None else unfit(profile, slo)
        if each.name in question.without:
            continue
        if profile is None or why:
            notes.append(f"{each.name}: left out: {why}")
            continue
        offer = offer_of(profile, buckets, slo, question.margin)
        cost = profile.cost if each.cost is None else each.cost
        most = question.max_replicas.get(each.name, each.max_replicas)
        types.append(GpuType(each.name, cost, offer.throughput, highest=most))
        notes += offer.notes
    if not types:
        raise InputError([f"{question.model}: no deployment is left that has a profile", *notes])
    case = Case(tuple(types), tuple(bucket.rate for bucket in buckets), time_limit_s=MOST_S)
    shown = [
        {"input_tokens": each.input_tokens, "output_tokens": each.output_tokens, "rate": each.rate} for each in buckets
    ]
    return _solved(case) | {"buckets": shown, "margin": question.margin, "notes": notes}


def answer_case(text: bytes) -> dict[str, Any]:
    """Return the plan of a case as `forebay plan --json` takes it.  Raises InputError, also for one that is too big."""
    case = parse_case(text)
    if len(case.types) > MOST_TYPES or len(case.rates) > MOST_BUCKETS:
        raise InputError([f"must have at most {MOST_TYPES} GPU types and {MOST_BUCKETS} buckets"])
    return _solved(replace(case, time_limit_s=min(case.time_limit_s, MOST_S)))


def _solved(case: Case) -> dict[str, Any]:
    started_s = perf_counter()
    plan = make_plan(case)
    return plan_page(case, plan, perf_counter() - started_s)


def _demand(question: WhatIf, now: Demand) -> Demand:
    rate = (now.rate if question.rate is None else question.rate) * question.factor
    if question.lengths is None:
        if not now.shares:
            raise InputError(["lengths: no request has completed yet, so they must be given"])
        return Demand(rate, now.shares)
    total = sum(each.weight for each in question.lengths)
    shares: dict[tuple[int, int], float] = {}
    for each in question.lengths:
        key = index_of(each.input_tokens), index_of(each.output_tokens)
        shares[key] = shares.get(key, 0.0) + each.weight / total
    return Demand(rate, shares)
