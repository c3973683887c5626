import asyncio

import pytest

from console import history as history_module
from console.history import History
from console.looking.client import Client
from tests.support.metrics_pages import metrics_pages

METRICS = 'forebay_requests_total{model="m",outcome="ok",strategy="s"} %d\n'


async def test_readings_become_rates_and_trouble_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history_module, "FRESH_S", 0.0)
    async with metrics_pages() as pages:
        pages.show("[]", "/debug/fleet")
        pages.show("{}", "/debug/waiting")
        history = History(Client(f"http://127.0.0.1:{pages.port}", ""))
        for total in (10, 20, 30, 40):
            pages.show(METRICS % total)
            shown = await asyncio.to_thread(history.now)

        assert shown is not None
        assert shown.models[0].requests_per_s > 0
        assert 2 == len(history.moments()), "between two regular readings only the latest is kept"
        pages.show("", "/debug/fleet", status=503)
        assert shown == await asyncio.to_thread(history.now), "the last that is known"
        assert "answers 503" in history.trouble


async def test_however_many_look_the_gateway_is_asked_once_a_second():
    async with metrics_pages() as pages:
        pages.show("[]", "/debug/fleet")
        pages.show("{}", "/debug/waiting")
        pages.show(METRICS % 1)
        history = History(Client(f"http://127.0.0.1:{pages.port}", ""))
        for _ in range(20):
            assert await asyncio.to_thread(history.now) is None, "one reading is no rate"

        assert 1 == pages.asked.count("/metrics")
