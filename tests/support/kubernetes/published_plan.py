"""The page of an optimizer as a test has it, for autoscalers that read how many replicas there should be."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from autoscaling.spec import REPLICAS_METRIC
from tests.support.kubernetes.autoscalers import a_source


@dataclass
class Plan:
    """The answer to every request at `endpoint`."""

    endpoint: str = ""
    status: int = 404
    text: str = ""

    def wants(self, replicas: float | str) -> None:
        """Publish replicas."""
        self.answers(200, f'# TYPE {REPLICAS_METRIC} gauge\n{REPLICAS_METRIC}{{model_name="m"}} {replicas}\n')

    def answers(self, status: int, text: str = "") -> None:
        """Answer so from now on."""
        self.status, self.text = status, text

    def source(self, target: str = "100") -> dict[str, Any]:
        """The source of an autoscaler that reads it."""
        return a_source(metricSourceType="domain", endpoint=self.endpoint, port=None, path="/metrics/default/d",
                        targetMetric=REPLICAS_METRIC, targetValue=target)  # fmt: skip


@contextmanager
def published_plan() -> Iterator[Plan]:
    """Serve one for the length of a block."""
    plan = Plan()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(plan.status)
            self.send_header("content-type", "text/plain")
            self.end_headers()
            self.wfile.write(plan.text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        plan.endpoint = f"127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield plan
        server.shutdown()
