"""Reading a gateway's page: as often as asked, with the token; errors name the URL."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from forebay.profiling.fleet_page import readings
from tests.support.ports import free_address


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.headers.get("authorization") == "Bearer right" and self.path == "/debug/fleet"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(b"[]" if allowed else b"no")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_is_read_once_or_for_a_while(url: str):
    assert [b"[]"] == readings(f"{url}/", "right", 0)
    assert 2 <= len(readings(url, "right", 0.5))


def test_errors_name_the_url(url: str):
    with pytest.raises(OSError, match=f"{url}/debug/fleet: status 401: no"):
        readings(url, "wrong", 0)
    away = f"http://{free_address()}"
    with pytest.raises(OSError, match=f"{away}/debug/fleet: .*refused"):
        readings(away, "", 0)
    with pytest.raises(OSError, match="file:///x: must begin with http"):
        readings("file:///x", "", 0)
