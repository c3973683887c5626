"""Arrivals at a target, by the traffic that gateways count in Redis.

Lives here: which windows are new, and which part of a model's traffic is a target's.  Not here: traces (traffic).
"""

from collections.abc import Sequence
from typing import NamedTuple

from autoscaling.arrivals import arrivals_of
from autoscaling.observation import Arrivals
from autoscaling.spec import Target
from controllers.podautoscaler.sources.pages import SourceError
from traffic.connection import RedisAwayError
from traffic.store import TraceStore
from traffic.window import Window

NAMED = ("Deployment", "StatefulSet")
"""Kinds whose names gateways count requests by."""

STALE_S = 60.0
"""Gateways that run write a window every 10 s; after this silence that of one that was slow is over (chosen)."""


class Seen(NamedTuple):
    """The traffic since the look before, and how far it was read."""

    arrivals: Arrivals | None
    queued: float | None
    """Requests that wait in gateways at its end."""
    last_s: float | None
    """Start of the last window that was read."""


async def arrivals(traces: TraceStore, model: str, target: Target, after_s: float | None, now_s: float) -> Seen:
    """Return what the complete windows tell that begin after `after_s`; without one the last that there is.

    Raises SourceError where Redis is away, has no traffic of the model, or none for STALE_S.
    """
    try:
        windows = await traces.read(model, after_s)
    except RedisAwayError as error:
        raise SourceError(f"Redis, traffic of {model}: {error}") from error
    if after_s is None:
        windows = windows[-1:]
        if not windows:
            raise SourceError(f"Redis has no traffic of {model}: no gateway has counted any")
    if not windows:
        if after_s is not None and now_s - after_s > STALE_S:
            raise SourceError(f"Redis has no traffic of {model} since {now_s - after_s:.0f} s: no gateway counts any")
        return Seen(None, None, after_s)
    share = _share(windows, target)
    return Seen(arrivals_of(windows, share), windows[-1].queued * share, windows[-1].starts_at_s)


def _share(windows: Sequence[Window], target: Target) -> float:
    """Return the part of the requests that went to this target, of a model that several deployments serve."""
    sent = [count for window in windows for name, count in window.sent.items()]
    own = sum(window.sent.get(target.name, 0) for window in windows)
    return own / sum(sent) if sum(sent) and target.kind in NAMED else 1.0
