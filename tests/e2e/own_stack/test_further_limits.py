"""A limit of requests at the same time, through the whole stack."""

import os
import signal
from pathlib import Path

import orjson

from tests.support.stack import running_stack
from tests.support.waiting import until


def test_a_permit_is_held_while_the_stream_runs_and_gone_soon_after_its_worker_is_killed(tmp_path: Path):
    with running_stack(tmp_path, engines=1) as stack:
        user = stack.user(concurrency=1)
        with stack.stream(user, max_tokens=500) as answer:
            lines = answer.iter_lines()  # kept: without it the response is closed
            next(lines)
            refused = stack.chat(user)
            assert 200 == stack.chat(stack.user(concurrency=1)).status_code
        until(lambda: stack.chat(user, max_tokens=2).status_code == 200)

        with stack.stream(user, max_tokens=2000) as answer:
            lines = answer.iter_lines()
            next(lines)
            (worker,) = stack.processes("gateway")
            os.kill(worker["pid"], signal.SIGKILL)
            until(lambda: stack.chat(user, max_tokens=2).status_code == 200, limit_s=20)

    assert (429, "true", "1") == (
        refused.status_code, refused.headers["x-error-concurrency-exceeded"], refused.headers["retry-after"],
    )  # fmt: skip
    assert f"user: {user} has exceeded CONCURRENCY: 1" == orjson.loads(refused.content)["error"]["message"]
