"""Requests reach the application of their port."""

from typing import Any

import pytest

from gateway.config.settings import ListenSettings, Settings
from gateway.worker.launch import Place
from gateway.worker.port_router import PortRouter
from gateway.worker.worker import Worker

LISTEN = ListenSettings(grpc="127.0.0.1:1", http="127.0.0.1:2", admin="127.0.0.1:3")


async def ask(port: int, path: str) -> tuple[int, bytes]:
    worker = Worker(Settings(listen=LISTEN), Place(0, "127.0.0.1:4", None))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "server": ("127.0.0.1", port), "root_path": "",
    }  # fmt: skip
    await PortRouter({LISTEN.http: worker.http, LISTEN.admin: worker.admin})(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    ("port", "path", "status", "part"),
    [
        (2, "/healthz", 200, b"ok"),
        (2, "/users", 404, b""),
        (3, "/openapi.json", 200, b"/CreateUser"),
        (3, "/debug/endpoints", 404, b""),
    ],
)
async def test_the_port_decides_which_application_answers(port: int, path: str, status: int, part: bytes):
    actual, body = await ask(port, path)
    assert status == actual
    assert part in body


async def test_a_port_without_an_application_is_an_error():
    with pytest.raises(KeyError):
        await ask(1, "/healthz")
