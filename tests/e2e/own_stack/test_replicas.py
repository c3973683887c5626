"""Two gateways of two workers each behind one Envoy: parts die, stand still and restart, nothing is lost or leaks."""

import time
from pathlib import Path

import orjson
import pytest

from tests.support.gateways import running_replicas
from tests.support.outage import Load, Outcome, labels, request

pytestmark = pytest.mark.e2e
TRANSPORTS = pytest.mark.parametrize("transport", ["http2", "grpc"])
ASKED = {"stream_options": {"include_usage": True}}


@TRANSPORTS
async def test_a_rolling_restart_loses_no_request_and_counts_exactly(tmp_path: Path, transport: str):
    async with running_replicas(tmp_path, transport=transport, drain_s=10) as replicas:
        await replicas.admin("CreateUser", name="lgy", rpm=100_000)
        short, stream = request("lgy", max_tokens=5), request("lgy", max_tokens=60, stream=True, **ASKED)
        load = Load(replicas.port, [short] * 6 + [stream] * 4).start()
        await load.succeeds(time.monotonic(), 30)

        for gateway in replicas.gateways:
            await gateway.restart()
            await load.succeeds(time.monotonic(), 30)
        await load.stop()
        await replicas.settles()

        assert {"200"} == labels(load.outcomes).keys()
        assert (len(load.outcomes), sum(map(tokens, load.outcomes))) == await replicas.usage("lgy")


def tokens(outcome: Outcome) -> int:
    """The usage that the answer tells."""
    body = outcome.body
    if body.startswith(b"data:"):
        body = body.split(b"data: ")[-2]
    return int(orjson.loads(body)["usage"]["total_tokens"])
