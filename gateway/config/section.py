"""The base of the sections of the configuration file, and types of values that several of them use.

Not here: the sections (settings, picker).
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ratelimit.limits import MAX_NAME_BYTES


class Section(BaseModel):
    """A mapping in the file; unknown keys are errors, and attribute docstrings document the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def no_flag(value: object) -> object:
    """Refuse true and false, which pydantic would take for 1 and 0."""
    if isinstance(value, bool):
        message = "must be a number"
        raise ValueError(message)
    return value


NO_FLAG = BeforeValidator(no_flag)
ModelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
AUTO = "auto"
"""In place of adapters: those that the engine lists."""
Adapters = Annotated[
    tuple[ModelName, ...],
    BeforeValidator(lambda value: (AUTO,) if value == AUTO else value),
    WithJsonSchema({"anyOf": [{"enum": [AUTO]}, {"type": "array", "items": {"type": "string", "minLength": 1}}]}),
]
