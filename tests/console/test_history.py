import asyncio
import threading

import pytest

from console import history as history_module
from console.history import History
from console.looking.client import CallError, Client
from console.looking.sample import Sample
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
        (moment,) = history.moments()  # between two regular readings only the latest is kept
        assert moment.requests > 0
        pages.show("", "/debug/fleet", status=503)
        assert shown == await asyncio.to_thread(history.now), "the last that is known"
        assert "answers 503" in history.trouble


async def test_readings_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history_module, "FRESH_S", 0.0)
    monkeypatch.setattr(history_module, "EVERY_S", 0.0)
    monkeypatch.setattr(history_module, "MOST_KEPT", 3)
    async with metrics_pages() as pages:
        pages.show("[]", "/debug/fleet")
        pages.show("{}", "/debug/waiting")
        history = History(Client(f"http://127.0.0.1:{pages.port}", ""))
        for total in range(6):
            pages.show(METRICS % total)
            await asyncio.to_thread(history.now)

        assert 3 == len(history.moments())


def test_a_gateway_that_does_not_answer_holds_up_one_who_looks_and_no_other(monkeypatch: pytest.MonkeyPatch):
    is_asked, answers = threading.Event(), threading.Event()

    def hang(_gateway: Client) -> Sample:
        is_asked.set()
        assert answers.wait(60)
        raise CallError("no answer in time")

    monkeypatch.setattr(history_module, "take_sample", hang)
    history = History(Client("http://127.0.0.1:1", ""))
    first = threading.Thread(target=history.now)
    first.start()
    try:
        assert is_asked.wait(60)
        assert history.now() is None
        assert () == history.moments()
        assert first.is_alive()
    finally:
        answers.set()
        first.join()
    assert "no answer in time" == history.trouble


async def test_however_many_look_the_gateway_is_asked_once_a_second():
    async with metrics_pages() as pages:
        pages.show("[]", "/debug/fleet")
        pages.show("{}", "/debug/waiting")
        pages.show(METRICS % 1)
        history = History(Client(f"http://127.0.0.1:{pages.port}", ""))
        for _ in range(20):
            assert await asyncio.to_thread(history.now) is None, "one reading is no rate"

        assert 1 == pages.asked.count("/metrics")
