"""A pod that shows a page of metrics, which tests set by POST; before the first one it is what PAGE says.

Run it with `python -m tests.support.kubernetes.metrics_pod ADDRESS`; PAGE is a variable of its environment.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8000


class Page(BaseHTTPRequestHandler):
    """The page, on every path."""

    text = os.environ.get("PAGE", "").encode()

    def do_GET(self) -> None:
        self._answer(Page.text)

    def do_POST(self) -> None:
        Page.text = self.rfile.read(int(self.headers["content-length"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], PORT), Page).serve_forever()
