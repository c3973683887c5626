"""The composition root of one worker: makes clocks, randomness, connections and tasks, and joins the parts.

Lives here: what exists and who knows whom.  Not here: what any part does; how a worker process starts (serving.launch).
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.admin.app import create_admin_app
from gateway.configuration import load_models
from gateway.discovery.health import HealthChecker
from gateway.discovery.static import StaticDiscovery
from gateway.fleet import Fleet
from gateway.http import create_http_app
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.serving.asgi import GrpcApp, Receive, Scope, Send
from gateway.serving.service import Service
from gateway.settings import Settings
from ratelimit.redis_limiter import RedisLimiter
from ratelimit.shadow import ShadowLimiter
from ratelimit.users import UserStore
from routing.table import STRATEGIES

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
