"""One of several autoscalers on one target is obeyed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from autoscaling.spec import Target
from controllers.podautoscaler.objects import PodAutoscaler
from controllers.podautoscaler.readings import Reading, holders, identity, reading_of
from tests.support.kubernetes.autoscalers import an_autoscaler

TARGET = Target("apps", "Deployment", "d", "default")


def a_reading(name: str, created: str = "2027-01-01T00:00:00Z", deleted: str | None = None, **spec: Any) -> Reading:
    made = an_autoscaler(name, **spec)
    made["metadata"] |= {"uid": name, "creationTimestamp": created, "deletionTimestamp": deleted}
    return reading_of(msgspec.convert(made, PodAutoscaler))


def held(*readings: Reading) -> Mapping[Target, str]:
    return holders(readings)


def test_the_oldest_is_obeyed_in_whatever_order_they_are_told():
    young, old = a_reading("a", "2027-01-02T00:00:00Z"), a_reading("b", "2027-01-01T00:00:00Z")

    assert {TARGET: "default/b"} == held(young, old) == held(old, young)


def test_of_equally_old_ones_it_is_the_first_by_name():
    assert {TARGET: "default/a"} == held(a_reading("b"), a_reading("a"))


def test_one_that_goes_or_cannot_be_read_holds_nothing():
    going, wrong = a_reading("a", deleted="2027-01-03T00:00:00Z"), a_reading("b", maxReplicas=0)

    assert wrong.problems[0].startswith("spec.maxReplicas = 0")
    assert {TARGET: "default/c"} == held(going, wrong, a_reading("c"))


def test_versions_of_one_api_are_the_same_target_and_other_kinds_are_not():
    def of(kind: str, version: str) -> dict[str, str]:
        return {"apiVersion": version, "kind": kind, "name": "d"}

    readings = [
        a_reading("a", scaleTargetRef=of("Deployment", "apps/v1beta2")),
        a_reading("b", scaleTargetRef=of("Deployment", "apps/v1")),
        a_reading("c", scaleTargetRef=of("StatefulSet", "apps/v1")),
    ]

    assert {TARGET: "default/a", identity(Target("apps/v1", "StatefulSet", "d", "default")): "default/c"} == held(
        *readings
    )
