"""Arrivals at a target, as the windows of traffic tell them that gateways count.

Lives here: from windows to an observation's arrivals.  Not here: reading windows (traffic.store, and who observes).
"""

from collections.abc import Sequence

from autoscaling.observation import Arrivals
from traffic.window import Window, tokens_of


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
