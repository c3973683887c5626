"""An admission for a model without a pod, which somebody starts on demand."""

import asyncio
from typing import Any

from gateway.config.from_zero import ScaleFromZeroSettings
from gateway.config.settings import RoutingSettings, Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.extproc.events import Answered, Refused, Routed
from ratelimit.kinds import RPM
from ratelimit.limits import User
from tests.support.pods import MODEL, an_endpoint
from tests.support.shop import Shop
from tests.support.waiting import turns

WAKES = ModelPolicy(scales_from_zero=True)
Outcome = Refused | Routed | Answered


class Empty:
    """A shop whose model has no pod, and is started on demand unless `policy` says otherwise."""

    def __init__(self, policy: ModelPolicy = WAKES, **settings: Any) -> None:
        routing = RoutingSettings(slo_ttft_s=settings.pop("slo_ttft_s", 0.0), strategy="least-request")
        self.shop = Shop(
            Settings(routing=routing, scale_from_zero=ScaleFromZeroSettings(**settings)),
            users={name: User(name, 3, 10_000) for name in ("lgy", "u", "v")},
            pods="",
        )
        self.policy = policy
        self.pods()

    def pods(self, *names: str, **fields: Any) -> None:
        """Have these pods from now on, and have the queue told, as a worker tells it."""
        endpoints = tuple(an_endpoint(name, **fields) for name in names)
        self.shop.fleet.replace(FleetDescription({MODEL: self.policy}, endpoints), self.shop.now_s)
        self.shop.queue.advance(self.shop.now_s)

    def pass_time(self, seconds: float) -> None:
        self.shop.now_s += seconds
        self.shop.queue.advance(self.shop.now_s)

    async def ask(self, *body: dict[str, Any], **headers: str) -> "asyncio.Task[Outcome]":
        task = asyncio.create_task(self.shop.admit(*body, **headers))
        await turns(10)
        return task

    async def used(self, user: str = "lgy") -> int:
        assert self.shop.limiter is not None
        usage = await self.shop.limiter.usage(user)
        assert usage is not None
        return 3 - usage.quotas[RPM].remaining
