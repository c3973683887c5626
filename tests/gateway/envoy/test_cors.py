"""Browsers: preflights, and answers and errors that pages of allowed origins may read."""

from pathlib import Path

import httpx
import pytest

from gateway.envoy.headers import CLIENT_HEADERS
from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.processor import Answer, ObservedEnd, Processor

ORIGIN = "https://chat.example.com"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


def answer(seen: ObservedEnd) -> Answer:
    return Answer(refuse=405 if seen.headers[":method"] == "OPTIONS" else 429, body=b'{"error":{}}')


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("origins", [[ORIGIN, "http://localhost:3000"], ["*"]])
async def test_a_page_of_an_allowed_origin_may_ask_and_read_refusals_too(tmp_path: Path, origins: list[str]):
    gateway = Processor(answer)
    async with stack(tmp_path, [gateway], {}, envoy={"cors_origins": origins}) as client:
        preflight = await client.options("/v1/chat/completions", headers={"origin": ORIGIN, **PREFLIGHT})
        asked = len(gateway.seen)
        refused = await client.post("/v1/chat/completions", json={}, headers={"origin": ORIGIN})
        other = await client.options("/v1/models", headers={"origin": "https://evil.example.com", **PREFLIGHT})

    assert (200, 0, ORIGIN) == (preflight.status_code, asked, allowed(preflight))
    assert "POST" in preflight.headers["access-control-allow-methods"]
    headers = preflight.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "*"} <= set(headers)  # `*` does not stand for `authorization`
    assert (429, ORIGIN) == (refused.status_code, allowed(refused))
    assert {*CLIENT_HEADERS, "*"} == set(refused.headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in preflight.headers
    assert ("*" in origins) == (allowed(other) is not None)
    assert ["origin"] * 3 == [answer.headers["vary"] for answer in (preflight, refused, other)]


async def test_answers_of_engines_and_of_envoy_may_be_read_by_nobody_else_whatever_engines_say(tmp_path: Path):
    async def hello(exchange: Exchange) -> None:
        untrue = {"access_control_allow_origin": "*", "access_control_allow_credentials": "true"}
        await exchange.reply(b"{}", **untrue, vary="accept-language")

    async with running_backend(hello) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        models = {"m": {"pod-a": engine.address}}
        async with stack(tmp_path, [gateway], models, envoy={"cors_origins": [ORIGIN]}) as client:
            answered = await client.post("/", json={}, headers={"origin": ORIGIN})
            stranger = await client.post("/", json={}, headers={"origin": "https://evil.example.com"})
            await gateway.stop()
            away = await client.post("/", json={}, headers={"origin": ORIGIN})

    assert (200, ORIGIN) == (answered.status_code, allowed(answered))
    assert ["accept-language", "origin"] == answered.headers["vary"].replace(" ", "").split(",")
    assert "origin" == away.headers["vary"]
    assert "access-control-allow-credentials" not in answered.headers
    assert (200, None) == (stranger.status_code, allowed(stranger))
    assert (503, ORIGIN) == (away.status_code, allowed(away))


async def test_by_default_no_page_may(tmp_path: Path):
    gateway = Processor(answer)
    async with stack(tmp_path, [gateway], {}) as client:
        preflight = await client.options("/v1/models", headers={"origin": ORIGIN, **PREFLIGHT})
        refused = await client.post("/v1/models", json={}, headers={"origin": ORIGIN})

    assert (405, None) == (preflight.status_code, allowed(preflight))
    assert (429, None) == (refused.status_code, allowed(refused))
