import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from console.looking.client import CallError, Client
from tests.support.ports import free_port


@contextmanager
def a_server(status: int, answer: bytes) -> Iterator[tuple[str, list[str]]]:
    """Answers every call so, and keeps what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['authorization']}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_names_are_encoded_and_the_token_is_sent():
    with a_server(200, b"{}") as (url, asked):
        Client(f"{url}/", "secret").get("users", "a/b ?", "usage", limit=3)

    assert ["/users/a%2Fb%20%3F/usage?limit=3 Bearer secret"] == asked


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (404, b'{"message": "User: u does not exist"}', "User: u does not exist"),
        (502, b"<html>", "answers 502"),
        (200, b"<html>", "does not answer JSON"),
    ],
)
def test_a_refusal_is_said_in_the_words_of_the_gateway(status: int, answer: bytes, message: str):
    with a_server(status, answer) as (url, _), pytest.raises(CallError, match=message):
        Client(url, "").get("users")


@pytest.mark.parametrize("said", [b"-ERR unknown command\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
                                  b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n{}"])  # fmt: skip
def test_what_is_no_answer_or_half_of_one_is_a_failed_call(said: bytes):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(CallError, match=url):
            Client(url, "").get("users")
        answering.join()


def test_a_gateway_that_is_away_and_what_is_no_url_are_named():
    with pytest.raises(CallError, match=r"cannot be reached: .*refused"):
        Client(f"http://127.0.0.1:{free_port()}", "").get("users")
    with pytest.raises(ValueError, match=r"^file:///etc must begin with http"):
        Client("file:///etc", "")
