"""The base of the sections of the configuration file, and types of values that several of them use.

Not here: the sections (settings, picker).
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ratelimit.limits import MAX_NAME_BYTES

LONGEST_S = 7 * 24 * 3600.0
"""Chosen: a week.  Envoy and the timers of asyncio overflow far above it, and nothing here waits so long."""
SHORTEST_S = 0.001
"""A millisecond, the unit of Envoy's timers and of what we write into its configuration."""


class Section(BaseModel):
    """A mapping in the file; unknown keys are errors, and attribute docstrings document the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def no_flag(value: object) -> object:
    """Refuse true and false, which pydantic would take for 1 and 0."""
    if isinstance(value, bool):
        message = "must be a number"
        raise ValueError(message)
    return value


def _measurable(seconds: float) -> float:
    if seconds < SHORTEST_S:
        message = f"must be {SHORTEST_S} or more"
        raise ValueError(message)
    return seconds


NO_FLAG = BeforeValidator(no_flag)
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S), AfterValidator(_measurable), NO_FLAG]
ModelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
AUTO = "auto"
"""In place of adapters: those that the engine lists."""
Adapters = Annotated[
    tuple[ModelName, ...],
    BeforeValidator(lambda value: (AUTO,) if value == AUTO else value),
    WithJsonSchema({"anyOf": [{"enum": [AUTO]}, {"type": "array", "items": {"type": "string", "minLength": 1}}]}),
]
