"""Which face of a worker answers, by port; and the lifespan."""

from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.app import Place, Worker
from gateway.config.settings import ListenSettings, Settings
from gateway.serving.faces import Faces, lifespan
from gateway.serving.variables import DRAIN_PATH

LISTEN = ListenSettings(grpc="127.0.0.1:1", http="127.0.0.1:2", admin="127.0.0.1:3")


async def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    settings = Settings(listen=LISTEN, drain_s=0.01)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "server": ("127.0.0.1", port), "root_path": "",
    }  # fmt: skip
    await Faces(Worker(settings, Place(0, "127.0.0.1:4", None)))(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    ("port", "path", "status", "part"),
    [
        (2, "/healthz", 200, b"ok"),
        (2, "/users", 404, b""),
        (3, "/openapi.json", 200, b"/CreateUser"),
        (3, "/debug/endpoints", 404, b""),
        (1, "/healthz", 200, b""),  # gRPC: the status is in the trailers
        (4, DRAIN_PATH, 204, b""),
        (1, DRAIN_PATH, 200, b""),  # only on the private address
    ],
)
async def test_the_port_decides_the_face(port: int, path: str, status: int, part: bytes):
    actual, body = await ask(port, path)
    assert status == actual
    assert part in body


async def test_a_start_that_fails_is_told():
    @asynccontextmanager
    async def failing() -> Any:
        raise ValueError("no fleet")
        yield

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(ValueError, match="no fleet"):
        await lifespan(failing(), receive, send)
    assert [{"type": "lifespan.startup.failed", "message": "no fleet"}] == sent
