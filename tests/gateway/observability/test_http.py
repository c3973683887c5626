"""The operators' pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import pytest

from gateway.observability.http import create_http_app


@dataclass
class Pod:
    name: str
    in_flight: int


Reasons = Callable[[], Sequence[str]]


def a_client(not_ready: Reasons = tuple, own_not_ready: Reasons = tuple) -> httpx.AsyncClient:
    debug = {"endpoints": lambda: [Pod("a", 2)], "settings": lambda: {"b": 1}}
    app = create_http_app(lambda: b"m 1\n", "text/plain; version=0.0.4", not_ready, debug, own_not_ready=own_not_ready)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


async def test_metrics_come_with_their_content_type():
    answer = await a_client().get("/metrics")

    assert (200, b"m 1\n", "text/plain; version=0.0.4") == (
        answer.status_code,
        answer.content,
        answer.headers["content-type"],
    )


async def test_readiness_follows_the_reasons():
    reasons = ["no pods known"]
    client = a_client(lambda: reasons)

    before = await client.get("/readyz")
    reasons.clear()
    after = await client.get("/readyz")

    assert (503, {"status": "not ready", "reasons": ["no pods known"]}) == (before.status_code, before.json())
    assert (200, {"status": "ready"}) == (after.status_code, after.json())


async def test_without_pods_the_gateway_itself_may_be_ready():
    async def statuses(own: Reasons) -> list[int]:
        client = a_client(lambda: ["no pods known"], own)
        return [(await client.get(path)).status_code for path in ("/readyz", "/readyz/gateway")]

    assert [503, 200] == await statuses(tuple)
    assert [503, 503] == await statuses(lambda: ["draining"])


async def test_readiness_has_notes_where_something_is_wrong_all_the_same():
    notes = ["Pod has not been followed"]
    app = create_http_app(lambda: b"", "text/plain", tuple, {}, own_not_ready=tuple, notes=lambda: notes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.get("/readyz")

    assert (200, {"status": "ready", "notes": notes}) == (answer.status_code, answer.json())


async def test_a_process_that_is_not_ready_is_still_healthy():
    assert 200 == (await a_client(lambda: ["draining"]).get("/healthz")).status_code


async def test_debug_lists_its_pages_and_shows_them():
    client = a_client()

    assert {"pages": ["/debug/endpoints", "/debug/settings"]} == (await client.get("/debug/")).json()
    assert [{"name": "a", "in_flight": 2}] == (await client.get("/debug/endpoints")).json()
    assert 404 == (await client.get("/debug/nope")).status_code


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/debug/"])
async def test_pages_are_only_read(path):
    assert 405 == (await a_client().post(path)).status_code


async def test_the_root_says_what_this_is_and_where_to_go_as_text_or_as_json():
    app = create_http_app(
        lambda: b"", "text/plain", tuple, {}, {"http://127.0.0.1:10000": "requests of users"}, own_not_ready=tuple
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    text = await client.get("/")
    answer = await client.get("/", headers={"accept": "Application/JSON"})

    assert "text/plain; charset=utf-8" == text.headers["content-type"]
    assert "  http://127.0.0.1:10000  requests of users\n" in text.text
    width = max(map(len, answer.json()["paths"]))
    for path, what in answer.json()["paths"].items():
        assert f"  {path:<{width}}  {what}\n" in text.text
        assert 404 != (await client.get(path)).status_code
    assert {"http://127.0.0.1:10000": "requests of users"} == answer.json()["elsewhere"]
