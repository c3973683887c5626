"""Requests that end with trailers, over HTTP/2: the engine gets the body once, in every body mode."""

import orjson
import pytest

from tests.support.own_engine import OwnEngine
from tests.support.raw_http2 import http2_exchange
from tests.support.stack import COMBINATIONS, Stack, on


@on(*COMBINATIONS)
@pytest.mark.parametrize("trailers", [None, {"x-checksum": "abc"}], ids=["plain", "trailers"])
@pytest.mark.parametrize("size", [0, 62_500])
@pytest.mark.parametrize("stream", [False, True])
def test_the_engine_gets_the_body_once(
    stack: Stack, own: OwnEngine, trailers: dict[str, str] | None, size: int, stream: bool
):
    user = stack.user()
    body = orjson.dumps({**stack.body(model="own", stream=stream), "metadata": "y" * size})
    pieces = [body[at : at + 16_000] for at in range(0, len(body), 16_000)]
    headers = {"user": user, "content-type": "application/json", "content-length": str(len(body))}

    answer = http2_exchange(stack.variables["GATEWAY"], "/v1/chat/completions", pieces, headers, trailers)

    assert 200 == answer.status
    assert {**orjson.loads(body), **orjson.loads(own.only.body)} == orjson.loads(own.only.body)
    stack.uses(user, 1, 12)
