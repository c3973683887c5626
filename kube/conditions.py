"""Conditions of an object's status, as Kubernetes' API conventions want them.

Lives here: how a list of conditions changes, without I/O.  Not here: writing the status (client), or what is true
(controllers).  API conventions, section "Typical status properties".
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from kube.times import timestamp

Truth = Literal["True", "False", "Unknown"]

MESSAGE_BYTES = 32_768
"""The longest message that the API takes (metav1.Condition)."""


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One thing that is true of an object, or is not, and why."""

    type: str
    status: Truth
    reason: str  # one word in CamelCase, for programs
    message: str = ""  # for people
    observed_generation: int = 0  # of the spec that this was said of
    last_transition_time: str = ""  # RFC 3339; when `status` became what it is


def with_conditions(
    before: Sequence[Condition], said: Iterable[Condition], generation: int, now_s: float
) -> tuple[Condition, ...]:
    """Return the conditions after these were said of the spec of `generation`; others stay as they are.

    The time of a condition moves only when its status does.  Equal to `before` when nothing changed: then there is
    nothing to write.
    """
    after = {condition.type: condition for condition in before}
    for new in said:
        old = after.get(new.type)
        since = old.last_transition_time if old and old.status == new.status else timestamp(now_s)
        message = new.message.encode()[:MESSAGE_BYTES].decode(errors="ignore")
        after[new.type] = msgspec.structs.replace(
            new, message=message, observed_generation=generation, last_transition_time=since
        )
    return tuple(after.values())


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether the condition of that type is there and true."""
    return any(condition.type == kind and condition.status == "True" for condition in conditions)
