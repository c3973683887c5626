import pytest
from starlette.testclient import TestClient

from console.app import PAGES, console_app
from console.desk import Desk
from console.elements import BASE
from console.guard import LOGIN
from console.history import History
from console.looking.client import Client
from tests.support.ports import free_port


def a_client(token: str = "") -> TestClient:
    nowhere = Client(f"http://127.0.0.1:{free_port()}", "")
    desk = Desk(nowhere, nowhere, History(nowhere), "")
    return TestClient(console_app(desk, token), base_url="http://127.0.0.1")


def test_every_page_is_the_same_document_and_others_are_not_there():
    client = a_client()

    assert {200} == {client.get(BASE + path).status_code for path in PAGES}
    assert 404 == client.get(f"{BASE}nowhere").status_code


def test_with_a_token_everybody_logs_in_on_this_machine_too():
    client = a_client("secret")

    assert LOGIN == client.get(BASE, follow_redirects=False).headers["location"]
    assert 200 == client.get(LOGIN).status_code


@pytest.mark.parametrize(("token", "path"), [("", BASE), ("secret", LOGIN)])
def test_no_script_from_elsewhere_runs_and_nobody_frames_the_console(token: str, path: str):
    headers = a_client(token).get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))

    assert "'self'" == policy["default-src"]
    assert "unsafe" not in policy["script-src"]
    assert "'none'" == policy["frame-ancestors"] == policy["object-src"]
    assert ("nosniff", "DENY") == (headers["x-content-type-options"], headers["x-frame-options"])


def test_nothing_is_fetched_from_another_address():
    document = a_client().get(BASE).text

    sources = [part.split('"')[1] for part in document.replace("href=", "src=").split("src=")[1:]]
    assert sources
    assert [] == [source for source in sources if not source.startswith(BASE)]
