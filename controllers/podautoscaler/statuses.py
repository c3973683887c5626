"""The status of a PodAutoscaler, as it follows from the last one and from one look.

Lives here: history, times and when a status is worth writing, without I/O.  Not here: what was seen (controller).
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from controllers.podautoscaler.conditions import ACTIVE, READY
from controllers.podautoscaler.objects import ScalingDecision, ScheduledBounds, Status
from kube.conditions import Condition, with_conditions

KEPT = 5
"""Changes of replicas that the history keeps."""
REWORD_S = 30.0
"""How often a status is written of which only the words on metrics changed, as the numbers in a reason (chosen)."""


class Look(NamedTuple):
    """One look at an autoscaler; None: not known, so that it stays as it was."""

    conditions: Iterable[Condition]
    desired: int | None = None
    actual: int | None = None
    change: ScalingDecision | None = None
    scaled_at: str | None = None  # of who is mirrored
    bounds: ScheduledBounds | None = None


def after(before: Status, look: Look, generation: int, now_s: float) -> Status:
    """Return the status after a look at the specification of `generation`."""
    change = None if _is_repeated(before, look.change) else look.change
    scaled_at = change.timestamp if change and change.success else look.scaled_at
    return Status(
        last_scale_time=scaled_at or before.last_scale_time,
        desired_scale=before.desired_scale if look.desired is None else look.desired,
        actual_scale=before.actual_scale if look.actual is None else look.actual,
        conditions=with_conditions(before.conditions, look.conditions, generation, now_s),
        scaling_history=(*before.scaling_history, *((change,) if change else ()))[-KEPT:],
        scheduled_bounds=look.bounds,
    )


def _is_repeated(before: Status, change: ScalingDecision | None) -> bool:
    """Whether the same attempt has failed just before: it is made again and again, and told once."""
    if change is None or change.success or not before.scaling_history:
        return False
    return before.scaling_history[-1] == msgspec.structs.replace(
        change, timestamp=before.scaling_history[-1].timestamp, reason=before.scaling_history[-1].reason
    )


def is_due(written: Status, status: Status, since_s: float) -> bool:
    """Whether to write a status, `since_s` seconds after another one was: at once where more than words differ."""
    if written == status:
        return False
    return since_s >= REWORD_S or _without_words(written) != _without_words(status)


def _without_words(status: Status) -> Status:
    conditions = tuple(
        msgspec.structs.replace(one, message="") if one.type in {ACTIVE, READY} else one for one in status.conditions
    )
    return msgspec.structs.replace(status, conditions=conditions)
