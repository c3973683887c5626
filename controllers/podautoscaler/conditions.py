"""The conditions of a PodAutoscaler, and which of them make it ready.

Lives here: their names and how each should be, without I/O.  Not here: what is true (controller), how a list of
conditions changes (kube.conditions).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kube.conditions import Condition, Truth

READY, VALID, CONFLICT, ABLE, ACTIVE, WARNING = (
    "Ready", "ValidSpec", "MultiPodAutoscalerConflict", "AbleToScale", "ScalingActive", "Warning",
)  # fmt: skip


class Said(NamedTuple):
    """The word on one condition."""

    status: Truth
    reason: str
    message: str = ""


WELL: Mapping[str, Said] = {
    VALID: Said("True", "SpecIsValid", "every field was understood"),
    CONFLICT: Said("False", "NoConflict", "no other autoscaler names the same target"),
    ABLE: Said("True", "SucceededGetScale", "the replicas of the target can be read and written"),
    ACTIVE: Said("True", "MetricsAreThere", "replicas were computed"),
}
"""The conditions as they are when all is well; they are looked at in this order."""
UNKNOWN = Said("Unknown", "NotLookedAt", "something before it is not as it should be")


def conditions(found: Mapping[str, Said], notes: Sequence[str] = ()) -> Iterator[Condition]:
    """Yield all conditions, where `found` says what is not as it is when all is well; what follows that is unknown.

    `notes` are readings of the specification that may surprise.
    """
    bad: Said | None = None
    for kind, well in WELL.items():
        said = found.get(kind) or (UNKNOWN if bad else well)
        if bad is None and said.status != well.status:
            bad = said
        yield Condition(kind, *said)
    yield Condition(READY, "False", bad.reason, bad.message) if bad else Condition(READY, "True", "AllIsWell")
    if notes:
        yield Condition(WARNING, "True", "SpecMaySurprise", " ".join(notes))
    else:
        yield Condition(WARNING, "False", "NothingToSay")
