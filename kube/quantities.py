"""Quantities as Kubernetes writes them: `500m`, `1500`, `2Gi`.

Lives here: reading and writing them, without I/O.  lightkube reads no `n` and `u`, in which metrics-server writes the
use of CPUs.  API reference, "Quantity".
"""

import re
from math import isfinite

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3} | {
    letter + binary: (1024.0 if binary else 1000.0) ** power
    for power, letter in enumerate("KMGTPE", start=1)
    for binary in ("", "i")
}
_FACTORS["k"] = _FACTORS.pop("K")


def parse(text: str | float) -> float:
    """Return the number.  Raises ValueError for what is no quantity."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or not isfinite(number := float(match[1]) * _FACTORS.get(match[2] or "", 1.0)):
        raise ValueError(f"{text}: must be a quantity such as 500m, 2 or 1Gi")
    return number


def render(value: float) -> str:
    """Return the quantity, to a thousandth, the finest that an HPA reads."""
    thousandths = round(value * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)
