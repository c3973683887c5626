"""States of strategies as JSON can hold them, and back: one way for all of them to be kept over a restart."""

from typing import Any, TypeVar

import msgspec

State = TypeVar("State", bound=msgspec.Struct)


def dumped(state: msgspec.Struct) -> dict[str, Any]:
    """Return a state as JSON can hold it."""
    held: dict[str, Any] = msgspec.to_builtins(state)
    return held


def loaded(kind: type[State], state: dict[str, Any], of: str) -> State:
    """Return the state that was dumped.  Raises ValueError where it is none of that kind."""
    try:
        return msgspec.convert(state, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"no state of {of}: {error}") from error
