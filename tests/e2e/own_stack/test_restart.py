"""The end and the next beginning: nothing stays behind, users do."""

import os
import signal
from pathlib import Path

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until


def test_users_and_their_use_survive_a_restart_with_the_same_data(tmp_path: Path):
    with running_stack(tmp_path, engines=1) as first:
        kept, deleted = first.user(rpm=7, tpm=700), first.user()
        first.admin("/DeleteUser", name=deleted)
        assert 200 == first.chat(kept).status_code
        first.settled()
        used = first.usage(kept)
        pids = [process["pid"] for role in ("redis", "envoy", "gateway", "engine") for process in first.processes(role)]
    assert not (tmp_path / "env").exists()
    assert [] == [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    with running_stack(tmp_path, engines=1) as second:
        read = second.admin("/ReadUser", name=kept).json()["user"]
        assert {"name": kept, "rpm": 7, "tpm": 700} == read
        assert 404 == second.admin("/ReadUser", name=deleted).status_code
        assert used == second.usage(kept)
        answer = second.chat(kept)
        assert (200, "5") == (answer.status_code, answer.headers["x-ratelimit-remaining-requests"])


def test_an_end_while_a_stream_runs_leaves_nothing_behind_either(tmp_path: Path):
    """On SIGTERM; test_drain ends it by SIGINT."""
    stack = Stack(tmp_path, engines=1)
    try:
        stack.wait_until_ready()
        with stack.stream(stack.user(), max_tokens=1000) as answer:
            next(answer.iter_lines())
            os.kill(stack.process.pid, signal.SIGTERM)
            until(lambda: stack.process.poll() is not None, limit_s=40)  # the stream is 20 s long
    finally:
        assert 0 == stack.end(signal.SIGTERM), "\n".join(stack.lines)
    assert [] == stack.left_over()
