"""The HorizontalPodAutoscalers of strategy HPA: what is in them, and what their status says of the autoscaler.

Lives here: their specs and the reading of their status, without I/O.  Not here: making them (controllers.owned), who
scales: that is Kubernetes' own controller.  Specs are written as the server keeps them, quantities too, so that a spec
that is as it should be is equal to what is read.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import msgspec

from autoscaling.bounds import Bounds
from autoscaling.options import settings
from autoscaling.spec import REPLICAS_METRIC, Source, SourceKind, Spec
from autoscaling.strategies.hpa import (
    DEFAULT_PERCENT,
    DEFAULT_PERIOD_S,
    DEFAULT_PODS,
    RATE_PERIOD_S,
    HpaSettings,
)
from controllers.owned import LABELS, Owned, Wanted
from controllers.podautoscaler.conditions import ABLE, ACTIVE, Said
from controllers.podautoscaler.objects import AUTOSCALERS
from kube.conditions import Condition
from kube.objects import Kind, Metadata

SUFFIX = "-hpa"
OPTIMIZER_REPLICAS = "forebay_optimizer_replicas"
"""The external metric that has what optimizers publish (controllers.metricsapi)."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
UP_TOLERANCE, DOWN_TOLERANCE = "up-fluctuation-tolerance", "down-fluctuation-tolerance"
BEHAVIOR = frozenset(
    {"max-scale-up-rate", "max-scale-down-rate", "scale-up-delay", "scale-down-delay", UP_TOLERANCE, DOWN_TOLERANCE}
)
"""The options that a HorizontalPodAutoscaler takes; without them it does as Kubernetes does."""
PERCENT, MILLI = 100, 1000
_DECIMAL = ("m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
KI = 1024
"""Bytes of Ki, and Ki of Mi, in which targets of memory are given."""


class HpaStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The state of a HorizontalPodAutoscaler."""

    current_replicas: int | None = None
    desired_replicas: int | None = None
    last_scale_time: str | None = None
    conditions: tuple[Condition, ...] | None = None


class Hpa(Owned, frozen=True):
    """A HorizontalPodAutoscaler."""

    status: HpaStatus = HpaStatus()


HPAS = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", Hpa)


def hpa_of(autoscaler: Metadata, spec: Spec, bounds: Bounds) -> Wanted:
    """Return the HorizontalPodAutoscaler that an autoscaler with strategy HPA stands for now; it goes with it."""
    owner = {
        "apiVersion": AUTOSCALERS.api_version, "kind": AUTOSCALERS.name, "name": autoscaler.name,
        "uid": autoscaler.uid, "controller": True,
    }  # fmt: skip
    metadata = {
        "labels": autoscaler.labels | LABELS,
        "annotations": {key: value for key, value in autoscaler.annotations.items() if key != LAST_APPLIED},
        "ownerReferences": [owner],
    }
    return Wanted(HPAS, autoscaler.namespace, hpa_name(autoscaler), _spec(spec, bounds), metadata)


def hpa_name(autoscaler: Metadata) -> str:
    """Return the name of the HorizontalPodAutoscaler of an autoscaler, in its namespace."""
    return autoscaler.name + SUFFIX


def owner_of(hpa: Hpa) -> str:
    """Return the key of the autoscaler that a HorizontalPodAutoscaler belongs to, empty where it has none."""
    owners = (one for one in hpa.metadata.owner_references if one.controller and one.kind == AUTOSCALERS.name)
    return next((f"{hpa.metadata.namespace}/{one.name}" for one in owners), "")


def mirrored(hpa: Hpa) -> Mapping[str, Said]:
    """Return what a HorizontalPodAutoscaler says of itself, as words on our conditions."""
    said = {one.type: Said(one.status, one.reason, one.message) for one in hpa.status.conditions or ()}
    waits = Said("Unknown", "NotLookedAt", f"HorizontalPodAutoscaler {hpa.metadata.name} was not looked at yet")
    return {kind: said.get(kind, waits) for kind in (ABLE, ACTIVE)}


def _spec(spec: Spec, bounds: Bounds) -> dict[str, Any]:
    target = spec.target
    made = {
        "scaleTargetRef": {"apiVersion": target.api_version, "kind": target.kind, "name": target.name},
        "minReplicas": max(bounds.least, 1),  # servers take 0 only where they are told to
        "maxReplicas": bounds.most,
        "metrics": list(_metrics(spec)),
    }
    if BEHAVIOR & spec.options.keys():
        made["behavior"] = _behavior(settings(HpaSettings, spec.options), spec.options)
    return made


def _behavior(hpa: HpaSettings, given: Container[str]) -> dict[str, Any]:
    percent = _policy("Percent", DEFAULT_PERCENT, DEFAULT_PERIOD_S)
    up, down = [_policy("Pods", DEFAULT_PODS, DEFAULT_PERIOD_S), percent], [percent]
    if hpa.max_up_rate:
        up = [_policy("Percent", (hpa.max_up_rate - 1) * PERCENT, RATE_PERIOD_S)]
    if hpa.max_down_rate:
        down = [_policy("Percent", (1 - 1 / hpa.max_down_rate) * PERCENT, RATE_PERIOD_S)]
    rising, falling = _rules(up, hpa.scale_up_delay_s), _rules(down, hpa.scale_down_delay_s)
    if UP_TOLERANCE in given:  # servers before Kubernetes 1.35 know no tolerance, and drop it
        rising["tolerance"] = decimal(hpa.up_tolerance, least=0)
    if DOWN_TOLERANCE in given:
        falling["tolerance"] = decimal(hpa.down_tolerance, least=0)
    return {"scaleUp": rising, "scaleDown": falling}


def _policy(kind: str, value: float, period_s: float) -> dict[str, Any]:
    return {"type": kind, "value": max(1, round(value)), "periodSeconds": round(period_s)}


def _rules(policies: list[dict[str, Any]], delay_s: float) -> dict[str, Any]:
    return {"stabilizationWindowSeconds": ceil(delay_s), "selectPolicy": "Max", "policies": policies}


def _metrics(spec: Spec) -> Iterator[dict[str, Any]]:
    for source in spec.sources:
        if source.kind is SourceKind.RESOURCE:
            yield {"type": "Resource", "resource": {"name": source.metric, "target": _resource_target(source)}}
        else:
            kind = "External" if source.kind is SourceKind.EXTERNAL else "Pods"
            target = {"type": "AverageValue", "averageValue": decimal(source.target)}
            yield {"type": kind, kind.lower(): {"metric": _metric(spec, source), "target": target}}


def _metric(spec: Spec, source: Source) -> dict[str, Any]:
    """Return the name of a metric; Kubernetes reads an optimizer's replicas from our metrics API, not from its page."""
    if source.metric == REPLICAS_METRIC:
        return {"name": OPTIMIZER_REPLICAS, "selector": {"matchLabels": {"deployment": spec.target.name}}}
    return {"name": source.metric}


def _resource_target(source: Source) -> dict[str, Any]:
    if source.metric == "cpu":
        return {"type": "Utilization", "averageUtilization": ceil(source.target)}
    return {"type": "AverageValue", "averageValue": _quantity(round(source.target * KI), KI, _BINARY)}


def decimal(value: float, least: int = 1) -> str:
    """Return a quantity in thousandths, at `least` so many, as the server writes it: 0.5 is `500m`, 2000 is `2k`."""
    return _quantity(max(least, round(value * MILLI)), MILLI, _DECIMAL)


def _quantity(number: int, base: int, suffixes: Sequence[str]) -> str:
    if not number:
        return "0"
    rest = list(suffixes)
    while number % base == 0 and len(rest) > 1:
        number //= base
        rest.pop(0)
    return f"{number}{rest[0]}"
