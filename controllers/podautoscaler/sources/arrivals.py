"""Arrivals at a target, by the traffic that gateways count in Redis.

Lives here: reading, and silence.  Not here: what windows tell (autoscaling.arrivals), traces (traffic).
"""

from autoscaling.arrivals import Seen, seen_of
from autoscaling.spec import Target
from controllers.podautoscaler.sources.pages import SourceError
from traffic.connection import RedisAwayError
from traffic.store import TraceStore

STALE_S = 60.0
"""Gateways that run write a window every 10 s; after this silence that of one that was slow is over (chosen)."""


async def arrivals(traces: TraceStore, model: str, target: Target, after_s: float | None, now_s: float) -> Seen:
    """Return what the complete windows tell that begin after `after_s`; without one the last that there is.

    Raises SourceError where Redis is away, has no traffic of the model, or none for STALE_S.
    """
    try:
        windows = await traces.read(model, after_s)
    except RedisAwayError as error:
        raise SourceError(f"Redis, traffic of {model}: {error}") from error
    if not windows and after_s is None:
        raise SourceError(f"Redis has no traffic of {model}: no gateway has counted any")
    if not windows and after_s is not None and now_s - after_s > STALE_S:
        raise SourceError(f"Redis has no traffic of {model} since {now_s - after_s:.0f} s: no gateway counts any")
    return seen_of(windows, after_s, target)
