"""Endpoints, pods and fleets with defaults, so that a test states only what it is about."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from gateway.config.settings import RoutingSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.fleet.fleet import Fleet
from gateway.fleet.outbox import Outbox
from gateway.fleet.pod import Pod
from routing.prefix.index import PrefixIndex
from routing.types import Endpoint, NoCandidateError, NoCandidateReason

MODEL = "m"


def an_endpoint(name: str = "a", **fields: Any) -> Endpoint:
    """An endpoint that serves MODEL at an address of its own, made from its name."""
    address = f"10.0.0.{sum(name.encode()) % 250 + 1}:8000"
    return Endpoint(**({"id": name, "name": name, "address": address, "models": (MODEL,)} | fields))


def a_pod(name: str = "a", in_flight: int = 0, *, index: PrefixIndex | None = None, **fields: Any) -> Pod:
    """A pod with requests in flight; its cache is of `index`, or the only one of its own."""
    pod = Pod(an_endpoint(name, **fields), (PrefixIndex() if index is None else index).join(1000))
    pod.in_flight = in_flight
    return pod


def pods_with(*in_flight: int, index: PrefixIndex | None = None) -> list[Pod]:
    """Pods p0, p1, ... of one index with so many requests in flight."""
    index = PrefixIndex() if index is None else index
    return [a_pod(f"p{number}", count, index=index) for number, count in enumerate(in_flight)]


def a_description(*endpoints: Endpoint, models: Iterable[str] = (), **policies: ModelPolicy) -> FleetDescription:
    """A description of these endpoints, of models without any, and of policies by model."""
    return FleetDescription(dict.fromkeys(models, ModelPolicy()) | policies, endpoints)


def a_fleet(
    *endpoints: Endpoint, seed: int = 1, settings: RoutingSettings | None = None, outbox: Outbox | None = None,
    **described: Any,
) -> Fleet:  # fmt: skip
    """A fleet that has been told of these endpoints."""
    fleet = Fleet(settings or RoutingSettings(), random.Random(seed), outbox=outbox)
    fleet.replace(a_description(*endpoints, **described))
    return fleet


def refusal(attempt: Callable[[], object]) -> NoCandidateReason | None:
    """Why `attempt` finds no candidate; None when it finds one."""
    try:
        attempt()
    except NoCandidateError as error:
        return error.why
    return None
