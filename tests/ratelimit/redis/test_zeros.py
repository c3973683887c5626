"""Zeros in records where AIBrix's meaning of them is asked for."""

import json

import pytest

from ratelimit.kinds import RPM
from ratelimit.redis.limiter import RedisLimiter
from ratelimit.redis.names import user_key
from tests.support.limiters import TIMEOUT_S, admit, refuse


@pytest.mark.parametrize("ours", ["group", "reserve"])
async def test_zeros_of_a_record_that_aibrix_cannot_have_written_mean_nothing_is_allowed(server, ours):
    values = {"group": "g", "reserve": "expected"}
    server.own_client.set(user_key("u"), json.dumps({"name": "u", "rpm": 0, "tpm": 0, ours: values[ours]}))
    server.own_client.set(user_key("theirs"), '{"name": "theirs", "rpm": 0, "tpm": 0}')
    limiter = RedisLimiter(server.url, TIMEOUT_S, compat=True)

    assert (RPM, 0) == ((verdict := await refuse(limiter, "u", 1)).kind, verdict.limit)
    await admit(limiter, "theirs", 1)
    await limiter.aclose()
