"""The wishes of all autoscalers, and which of several is obeyed when they name one target.

Lives here: reading all of them and who holds a target, without I/O.  Not here: reading one (autoscaling.spec_reading),
conditions (controller).  The oldest holds a target; of equally old ones the first by name.  One that cannot be read
holds nothing.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from autoscaling.spec import Spec, Target
from autoscaling.spec_reading import SpecError, read
from controllers.podautoscaler.objects import PodAutoscaler
from kube.objects import Key


class Reading(NamedTuple):
    """One autoscaler, and what it asks for: a specification, or why there is none."""

    autoscaler: PodAutoscaler
    spec: Spec | None
    problems: tuple[str, ...] = ()


def reading_of(autoscaler: PodAutoscaler) -> Reading:
    """Return what an autoscaler asks for."""
    try:
        return Reading(autoscaler, read(autoscaler.document()))
    except SpecError as error:
        return Reading(autoscaler, None, error.problems)


def holders(readings: Iterable[Reading]) -> Mapping[Target, Key]:
    """Return who is obeyed about each target."""
    holding: dict[Target, PodAutoscaler] = {}
    for reading in readings:
        one = reading.autoscaler
        if reading.spec is None or one.metadata.deletion_timestamp is not None:
            continue
        target = identity(reading.spec.target)
        if target not in holding or _age(one) < _age(holding[target]):
            holding[target] = one
    return {target: one.metadata.key for target, one in holding.items()}


def identity(target: Target) -> Target:
    """Return a target by what tells it from others: two versions of its API are the same object."""
    group, _, _ = target.api_version.rpartition("/")
    return Target(group, target.kind, target.name, target.namespace)


def _age(autoscaler: PodAutoscaler) -> tuple[str, Key]:
    return autoscaler.metadata.creation_timestamp or "", autoscaler.metadata.key
