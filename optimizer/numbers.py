"""Numbers in JSON values that others write."""

from math import isfinite
from typing import Any


def finite(value: Any) -> float | None:
    """Return the value as a float; None for everything that is no finite number, true and false among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None
