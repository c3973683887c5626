import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from console.guard import COOKIE, LOGIN, guarded

TOKEN = "secret"


async def page(_request: object) -> PlainTextResponse:
    return PlainTextResponse("inside")


async def socket(asked: WebSocket) -> None:
    await asked.accept()
    await asked.send_text("inside")
    await asked.close()


def a_client(token: str, host: str = "console.example") -> TestClient:
    inside = Starlette(routes=[Route("/console/", page, methods=["GET", "POST"]), WebSocketRoute("/live", socket)])
    return TestClient(guarded(inside, token=token), base_url=f"http://{host}", follow_redirects=False)


def hears(client: TestClient, **headers: str) -> bool:
    try:
        with client.websocket_connect(f"ws://{client.base_url.host}/live", headers=headers) as heard:
            return heard.receive_text() == "inside"
    except WebSocketDisconnect:
        return False


def test_on_loopback_nobody_logs_in_but_other_sites_are_kept_out():
    client = a_client("", "127.0.0.1")

    assert "inside" == client.get("/console/").text
    assert 403 == client.get("/console/", headers={"host": "evil.example"}).status_code
    assert 403 == client.post("/console/", headers={"origin": "http://evil.example"}).status_code
    assert hears(client)
    assert not hears(client, origin="http://evil.example")
    assert not hears(client, host="evil.example")


def test_elsewhere_the_token_opens_a_session():
    client = a_client(TOKEN)

    assert (303, LOGIN) == ((answer := client.get("/console/")).status_code, answer.headers["location"])
    assert 401 == client.post("/console/").status_code
    assert not hears(client)
    assert "That is not the admin token" in client.post(LOGIN, data={"token": "wrong"}).text
    opened = client.post(LOGIN, data={"token": TOKEN})
    assert 303 == opened.status_code
    assert {"httponly", "samesite=strict"} <= set(opened.headers["set-cookie"].lower().split("; "))
    assert TOKEN not in opened.headers["set-cookie"]
    assert "inside" == client.get("/console/").text
    assert hears(client)


def test_a_session_serves_its_own_site_alone():
    client = a_client(TOKEN)
    client.post(LOGIN, data={"token": TOKEN})

    assert 403 == client.post("/console/", headers={"origin": "http://evil.example"}).status_code
    assert "inside" == client.post("/console/", headers={"origin": "http://console.example"}).text
    assert not hears(client, origin="http://evil.example")


def test_cookies_of_other_programs_on_the_host_do_not_hide_a_session():
    client = a_client(TOKEN)
    client.post(LOGIN, data={"token": TOKEN})
    session = client.cookies[COOKIE]
    client.cookies.clear()

    assert "inside" == client.get("/console/", headers={"cookie": f'theme={{"a": "b"}}; {COOKIE}={session}'}).text


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=made-up", f"{COOKIE}=", "=;=", f'{COOKIE}="'])
def test_other_cookies_open_nothing(cookie: str):
    assert 303 == a_client(TOKEN).get("/console/", headers={"cookie": cookie}).status_code


def test_a_form_without_end_is_refused():
    assert 413 == a_client(TOKEN).post(LOGIN, content=b"x" * 10_000).status_code
