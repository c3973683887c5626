"""The admin token, and who is served without one."""

from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from gateway.observability.guard import calls_guarded, pages_guarded
from gateway.observability.http import create_http_app
from tests.support.admin import an_admin


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic s3cret", "s3cret", "Bearer s3cret2", "Bearer s3cre"],
)
@pytest.mark.parametrize("path", ["/users", "/metrics", "/readyz", "/openapi.json", "/nope"])
async def test_without_the_token_every_path_is_401(authorization, path):
    answer = await an_admin(token="s3cret").client.get(path, headers={"authorization": authorization})

    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
    assert "the admin token is missing or wrong" == answer.json()["message"]


async def test_a_call_without_the_token_changes_nothing():
    admin = an_admin(token="s3cret")

    answer = await admin.call("/CreateUser", {"name": "u"})

    assert (401, {}) == (answer.status_code, admin.users.stored)


async def test_two_authorization_headers_are_refused():
    headers = [("authorization", "Bearer s3cret"), ("authorization", "Bearer s3cret")]

    assert 401 == (await an_admin(token="s3cret").client.get("/users", headers=headers)).status_code


@pytest.mark.parametrize("authorization", ["Bearer s3crét", "bearer s3crét", "Bearer  s3crét "])
async def test_the_token_opens_every_call(authorization):
    headers = {"authorization": authorization.encode()}

    assert 200 == (await an_admin(token="s3crét").client.get("/users", headers=headers)).status_code


async def test_health_needs_no_token():
    assert 200 == (await an_admin(token="s3cret").client.get("/healthz")).status_code


async def test_without_a_configured_token_none_is_required():
    assert 200 == (await an_admin().client.get("/users")).status_code


LOOPBACK = [
    "localhost",
    "LOCALHOST:8090",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1:8090",
    "127.8.9.10:1",
    "[::1]",
    "[::1]:8090",
]
ELSEWHERE = [
    "evil.example", "evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example",
    "evil.example@localhost", "10.0.0.1:8090", "0.0.0.0", "[::2]", "[::]:8090", "127.1.evil", "localhost:8090, evil",
    "localhost evil", "", ":8090", "[::1", "127.0.0.1:x", "2130706433",
]  # fmt: skip
FOREIGN = ["http://evil.example", "null", "https://evil.example:8090", "", "file://", "http://[::1", "127.0.0.1"]


async def asked(app: ASGIApp, path: str = "/users", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path, headers=headers)


def pages(token: str = "", *, on_loopback: bool = True) -> ASGIApp:
    app = create_http_app(lambda: b"m 1\n", "text/plain", tuple, {"fleet": lambda: []}, own_not_ready=tuple)
    return pages_guarded(app, token, on_loopback=on_loopback)


@pytest.mark.parametrize("path", ["/users", "/users/u/usage", "/v1/models", "/metrics", "/openapi.json", "/nope", "/"])
@pytest.mark.parametrize("host", ELSEWHERE)
async def test_without_a_token_a_host_that_is_not_loopback_is_refused(host: str, path: str):
    answer = await an_admin().client.get(path, headers={"host": host})

    assert (403, "forbidden_host", "application/json") == (
        answer.status_code, answer.json()["error"]["code"], answer.headers["content-type"],
    )  # fmt: skip
    assert "must be localhost, 127.0.0.1 or [::1]" in answer.json()["message"]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_without_a_token_every_name_of_loopback_is_served(host: str):
    assert 200 == (await an_admin().client.get("/users", headers={"host": host})).status_code


async def test_of_two_hosts_both_must_be_loopback():
    headers = [("host", "localhost"), ("host", "evil.example")]

    assert 403 == (await an_admin().client.get("/users", headers=headers)).status_code


@pytest.mark.parametrize("origin", FOREIGN)
async def test_without_a_token_a_foreign_origin_changes_nothing(origin: str):
    admin = an_admin()
    headers = {"origin": origin, "content-type": "application/json"}

    answer = await admin.client.post("/CreateUser", content=b'{"name":"u"}', headers=headers)

    assert (403, "forbidden_origin", {}) == (answer.status_code, answer.json()["error"]["code"], admin.users.stored)


@pytest.mark.parametrize("origin", ["http://localhost:8090", "http://127.0.0.1:3000", "http://[::1]:8090"])
async def test_pages_of_this_machine_may_ask(origin: str):
    assert 200 == (await an_admin().client.get("/users", headers={"origin": origin})).status_code


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize(
    "path", ["/CreateUser", "/UpdateUser", "/DeleteUser", "/CreateKey", "/RevokeKey", "/users/u/check"]
)
async def test_what_a_page_may_send_without_leave_is_415(path: str, content_type: str):
    headers = {"content-type": content_type} if content_type else {}

    assert 415 == (await an_admin().client.post(path, content=b'{"name":"u"}', headers=headers)).status_code


async def test_with_the_token_the_name_of_the_host_is_free():
    headers = {"authorization": "Bearer s3cret", "host": "admin.example", "origin": "https://console.example"}

    assert 200 == (await an_admin(token="s3cret").client.get("/users", headers=headers)).status_code


async def test_an_open_admin_interface_is_reached_by_any_name_but_not_by_pages_of_others():
    client = an_admin(any_host=True).client
    host = {"host": "10.0.102.94:32004"}

    assert 200 == (await client.get("/users", headers=host)).status_code
    assert 200 == (await client.get("/users", headers=host | {"origin": "http://10.0.102.94:32004"})).status_code
    assert 403 == (await client.get("/users", headers=host | {"origin": "http://evil.example"})).status_code


@pytest.mark.parametrize("path", ["/debug/", "/debug/fleet", "/debug", "/metrics", "/nope"])
@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
async def test_the_pages_on_loopback_are_for_this_machine(path: str, headers: dict[str, str]):
    assert 403 == (await asked(pages(), path, **headers)).status_code
    assert 403 != (await asked(pages(), path)).status_code
    assert 403 != (await asked(pages("s3cret"), path, authorization="Bearer s3cret", **headers)).status_code


@pytest.mark.parametrize("path", ["/debug/", "/debug/fleet"])
async def test_on_another_address_debug_needs_the_token_or_else_a_name_of_loopback(path: str):
    elsewhere = {"host": "10.0.0.1:8080"}

    assert 403 == (await asked(pages(on_loopback=False), path, **elsewhere)).status_code
    assert 200 == (await asked(pages(on_loopback=False), path)).status_code
    assert 401 == (await asked(pages("s3cret", on_loopback=False), path)).status_code
    authorized = elsewhere | {"authorization": "Bearer s3cret"}
    assert 200 == (await asked(pages("s3cret", on_loopback=False), path, **authorized)).status_code


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_prometheus_and_probes_name_the_pods_address(path: str):
    for token in ("", "s3cret"):
        assert 200 == (await asked(pages(token, on_loopback=False), path, host="10.0.0.1:8080")).status_code


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_on_loopback_may_use_any_name(path: str):
    assert 200 == (await asked(pages(), path, host="evil.example")).status_code


def calls(*, token: str = "", on_loopback: bool = False, is_open: bool = False) -> httpx.AsyncClient:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("done")(scope, receive, send)

    guarded = calls_guarded(app, token, on_loopback=on_loopback, is_open=is_open)
    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://optimizer.cluster.local:8080")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("token", ["", "s3cret"])
async def test_reading_calls_is_open_by_any_name_beyond_loopback(method: str, token: str):
    assert 200 == (await calls(token=token).request(method, "/metrics/n/d")).status_code


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_changes_beyond_loopback_need_the_token(method: str):
    client = calls(token="s3cret")

    assert 401 == (await client.request(method, "/scale/n/d")).status_code
    assert 200 == (await client.request(method, "/scale/n/d", headers={"authorization": "Bearer s3cret"})).status_code


async def test_without_a_token_nobody_makes_changes_unless_it_is_open():
    assert 401 == (await calls().put("/scale/n/d")).status_code
    assert 200 == (await calls(is_open=True).put("/scale/n/d")).status_code
    foreign = {"origin": "http://evil.example"}
    assert 403 == (await calls(is_open=True).put("/scale/n/d", headers=foreign)).status_code


async def test_calls_on_loopback_are_for_this_machine():
    client = calls(on_loopback=True)

    assert 403 == (await client.get("/plan/m")).status_code
    assert 200 == (await client.get("/plan/m", headers={"host": "localhost"})).status_code
    assert 200 == (await client.put("/scale/n/d", headers={"host": "127.0.0.1:8080"})).status_code
