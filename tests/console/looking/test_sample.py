import asyncio

import orjson
import pytest

from console.looking.client import CallError, Client
from console.looking.sample import Sample, take_sample
from tests.support.metrics_pages import metrics_pages


async def sample(port: int) -> Sample:
    return await asyncio.to_thread(take_sample, Client(f"http://127.0.0.1:{port}", ""))


METRICS = """
# TYPE forebay_requests_total counter
forebay_requests_total{model="m",outcome="ok",strategy="forebay"} 3.0
forebay_requests_total{model="m",outcome="client-gone",strategy="random"} 1.0
# TYPE forebay_tokens_total counter
forebay_tokens_total{kind="input",model="m"} 30.0
forebay_tokens_total{kind="reserved",model="m"} 90.0
# TYPE forebay_refusals_total counter
forebay_refusals_total{kind="rpm"} 2.0
"""


async def test_a_sample_adds_up_what_belongs_together():
    async with metrics_pages() as pages:
        pages.show(orjson.dumps([{"pod": "a"}]), "/debug/fleet")
        pages.show(orjson.dumps({"m": {"waiting": 7, "users": {}}}), "/debug/waiting")
        pages.show(METRICS)
        found = await sample(pages.port)

    assert ([{"pod": "a"}], {"m": 7}) == (found.pods, found.waiting)
    assert ({"m": 4}, {"rpm": 2}) == (found.requests, found.refusals)
    assert 30 == found.tokens["m", "input"]


@pytest.mark.parametrize(("path", "page"), [("/debug/fleet", "<html>"), ("/debug/waiting", "[1]"), ("/metrics", "{{")])
async def test_other_servers_are_not_taken_for_a_gateway(path: str, page: str):
    async with metrics_pages() as pages:
        for each, usual in (("/debug/fleet", "[]"), ("/debug/waiting", "{}"), ("/metrics", METRICS)):
            pages.show(page if each == path else usual, each)
        with pytest.raises(CallError, match="gateway's"):
            await sample(pages.port)


async def test_a_missing_page_is_named():
    async with metrics_pages() as pages:
        with pytest.raises(CallError, match="/debug/fleet answers 404"):
            await sample(pages.port)
