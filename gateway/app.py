"""The composition root of one worker: makes clocks, randomness, connections and tasks, and joins the parts.

Lives here: what exists and who knows whom.  Not here: what any part does; how a worker process starts (serving.launch).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.serving.asgi import Receive, Scope, Send

log = structlog.get_logger("gateway")

REPORT_S = 1.0
"""How often gauges that nobody pushes (endpoints, Redis) are refreshed (chosen: below any scrape interval)."""
LAME_DUCK_S = 1.0
"""After a worker says NOT_SERVING it serves this long: twice the interval of Envoy's health check."""
SUPERVISED = "supervised"

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this worker stands: its index, its private address and the directory shared with its siblings."""

    index: int
    address: str
    metrics_dir: Path | None
