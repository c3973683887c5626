"""Arrivals at a target, as the windows of traffic tell them that gateways count.

Lives here: which windows are new, which part of a model's traffic is a target's, and an observation's arrivals.  Not
here: reading windows (traffic.store, and who observes).
"""

from collections.abc import Sequence
from typing import NamedTuple

from autoscaling.observation import Arrivals
from autoscaling.spec import Target
from traffic.window import Window, tokens_of

NAMED = ("Deployment", "StatefulSet")
"""Kinds whose names gateways count requests by."""


class Seen(NamedTuple):
    """The traffic since the look before, and how far it was read."""

    arrivals: Arrivals | None
    queued: float | None
    """Requests that wait in gateways at its end."""
    last_s: float | None
    """Start of the last window that was read."""


def seen_of(windows: Sequence[Window], after_s: float | None, target: Target | None = None) -> Seen:
    """Return what the windows tell that begin after `after_s`; without one, the last that there is.

    Without a target all of it counts.
    """
    windows = windows[-1:] if after_s is None else windows
    if not windows:
        return Seen(None, None, after_s)
    share = _share(windows, target) if target is not None else 1.0
    return Seen(arrivals_of(windows, share), windows[-1].queued * share, windows[-1].starts_at_s)


def arrivals_of(windows: Sequence[Window], share: float = 1.0) -> Arrivals:
    """Return the traffic of windows that follow each other, or of it the share that is a target's."""
    inputs = [window.arrived_inputs for window in windows if window.arrived_inputs is not None]
    into = sum(count * tokens_of(index) for window in inputs for index, count in window.items())
    out = sum(count * tokens_of(index) for window in windows for (_, index), count in window.completed.items())
    return Arrivals(
        requests=share * sum(window.arrivals for window in windows),
        duration_s=sum(window.duration_s for window in windows),
        input_tokens=share * into if len(inputs) == len(windows) else None,
        output_tokens=share * out,
    )


def _share(windows: Sequence[Window], target: Target) -> float:
    """Return the part of the requests that went to this target, of a model that several deployments serve."""
    sent = [count for window in windows for name, count in window.sent.items()]
    own = sum(window.sent.get(target.name, 0) for window in windows)
    return own / sum(sent) if sum(sent) and target.kind in NAMED else 1.0
