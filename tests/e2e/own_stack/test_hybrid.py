"""One engine of one's own and two in a cloud: home while that is enough, the cloud only for what does not fit."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.outage import MODEL
from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOM = 4
"""Requests in flight that fill an engine."""
HOLD_S = 1.0
CONFIG = f"""
aliases:
  - {{name: chat, targets: [{{model: asleep}}], fallbacks: [unknown, {MODEL}]}}
pools:
  - {{name: own, priority: 0, spill: {{max_in_flight: {ROOM}, hold_s: {HOLD_S}}}}}
  - {{name: cloud, priority: 1, prices: {{input: 2, output: 8}}, spill: {{max_in_flight: {ROOM}}}}}
"""
LIMIT_S = 60.0
"""For a busy machine."""


@dataclass
class Load:
    """Clients that send one request after the other, each in a session of its own; `answers` are (time sent, pool)."""

    stack: Stack
    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_over: bool = False

    def client(self, number: int) -> None:
        """Send until the load is over."""
        with httpx.Client(base_url=self.stack.variables["GATEWAY"], trust_env=False, timeout=60) as client:
            while not self.is_over:
                sent_s = time.monotonic()
                answer = client.post(
                    "/v1/chat/completions",
                    json=self.stack.body(max_tokens=10),
                    headers={"x-session-id": f"session-{number}"},
                )
                self.answers.append((sent_s, answer.headers.get("x-forebay-pool", "")))
                if answer.status_code != 200:
                    self.failures.append(answer.text)

    def pools_since(self, since_s: float) -> list[str]:
        """The pools of requests that were sent later."""
        return [pool for sent_s, pool in self.answers if sent_s > since_s]

    def waits_for(self, number: int) -> list[str]:
        """The pools of so many further requests at least."""
        since_s = time.monotonic()
        until(lambda: len(self.pools_since(since_s)) >= number, limit_s=LIMIT_S)
        return self.pools_since(since_s)


@contextmanager
def load(stack: Stack, clients: int) -> Iterator[Load]:
    """So many clients during the block, none of which may lose a request."""
    running = Load(stack)
    threads = [threading.Thread(target=running.client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.is_over = True
        for thread in threads:
            thread.join()
    assert [] == running.failures


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data: Path = tmp_path_factory.mktemp("hybrid")
    with running_stack(data, engines=3, config=CONFIG) as stack:
        models = stack.models()
        for number, endpoint in enumerate(models[0]["endpoints"]):
            endpoint["pool"] = "cloud" if number else "own"
        stack.write_models(yaml.safe_dump(models))
        first = models[0]["endpoints"][0]["name"]  # until the gateway knows, all are of one pool and take turns
        until(lambda: {first} == {stack.chat("").headers["target-pod"] for _ in range(9)}, limit_s=LIMIT_S)
        yield stack


def in_flight(stack: Stack) -> list[int]:
    """Requests on the engines, one's own first."""
    pods = httpx.get(stack.variables["HTTP"] + "/debug/fleet", trust_env=False).json()
    return [pod["in_flight"] for pod in sorted(pods, key=lambda pod: pod["pod"])]


def test_what_fits_at_home_stays_there_and_only_the_rest_goes_to_the_cloud(hybrid: Stack) -> None:
    with load(hybrid, ROOM) as within:
        assert {"own"} == set(within.waits_for(5 * ROOM))

    with load(hybrid, 3 * ROOM) as beyond:
        beyond.waits_for(3 * ROOM)
        until(lambda: in_flight(hybrid) == [ROOM] * 3, limit_s=LIMIT_S)
        seen = [in_flight(hybrid)[0] for _ in range(20)]
        beyond.waits_for(5 * ROOM)
    assert ROOM == max(seen)
    assert ROOM - 1 <= sum(seen) / len(seen)  # full but for the moment between two requests
    assert {"own", "cloud"} == set(beyond.pools_since(0.0))
    ended_s = time.monotonic()

    with load(hybrid, 2) as after:  # in sessions that were in the cloud, some of them
        until(lambda: time.monotonic() > ended_s + HOLD_S + 1, limit_s=LIMIT_S)
        assert {"own"} == set(after.waits_for(10))
        assert {"own"} == set(after.pools_since(ended_s + HOLD_S + 1))


def test_when_home_dies_the_cloud_takes_over_at_once_and_gives_back_and_nothing_is_lost(hybrid: Stack) -> None:
    (own,) = [process for process in hybrid.processes("engine") if process["address"] in hybrid.engines[0]]
    with load(hybrid, ROOM) as running:
        assert {"own"} == set(running.waits_for(ROOM))
        os.kill(own["pid"], signal.SIGKILL)
        until(lambda: "cloud" in [pool for _, pool in running.answers], limit_s=LIMIT_S)
        until(lambda: set(running.waits_for(2 * ROOM)) == {"own"}, limit_s=LIMIT_S)


def test_another_name_is_listed_and_answered_by_the_first_model_that_is_there(hybrid: Stack) -> None:
    listed = [model["id"] for model in hybrid.users.get("/v1/models").json()["data"]]

    assert [MODEL, "chat"] == listed
    assert [200, "own"] == [(answer := hybrid.chat("", model="chat")).status_code, answer.headers["x-forebay-pool"]]


def test_requests_tokens_and_money_are_counted_by_pool(hybrid: Stack) -> None:
    hybrid.settled()
    own, cloud = ({"model": hybrid.model, "pool": pool} for pool in ("own", "cloud"))

    tokens = [hybrid.figure("forebay_pool_tokens_total", **cloud, kind=kind) for kind in ("input", "output")]

    assert 0 < hybrid.figure("forebay_pool_requests_total", **cloud)
    assert 0 < hybrid.figure("forebay_pool_requests_total", **own)
    assert pytest.approx((tokens[0] * 2 + tokens[1] * 8) / 1e6) == hybrid.figure("forebay_pool_cost_total", **cloud)
    assert 0 == hybrid.figure("forebay_pool_cost_total", **own)
