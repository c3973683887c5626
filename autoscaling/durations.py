"""Durations as Go writes them: `30m`, `1h30m`, `100ms`, `0s`.

Source: Go's time.ParseDuration; a sign is refused, because no setting is negative.
"""

import re

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Return the seconds of a duration.  Raises ValueError with the rule that it breaks."""
    if text == "0":
        return 0.0
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a duration such as 30m, 60s or 500ms")
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
