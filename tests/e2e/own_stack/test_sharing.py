"""Three gateways on one Redis, each a process that was started by itself: they route, fail and end as one."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.player import Player, Stream, metadata_of
from tests.support.redis import RedisServer, redis_server
from tests.support.running_worker import RunningWorker, running_worker
from tests.support.waiting import until

PODS = {9: "a", 10: "b", 11: "c"}
SETTINGS = {
    "models": [{"name": "m", "endpoints": [{"address": f"127.0.0.1:{port}", "name": PODS[port]} for port in PODS]}],
    "health": {"interval_s": 3600},
    "limits": {"settle_grace_s": 0.4},
}


class Gateway:
    """One of the gateways, asked by ext_proc as Envoy does."""

    def __init__(self, worker: RunningWorker) -> None:
        self.worker = worker
        self._player = Player(worker.grpc)
        self._open: list[Stream] = []

    def ask(self, prompt: str = "Hello", **headers: str) -> str:
        """Begin a request; the name of the pod that it goes to."""
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        stream = self._player.chat(body, **headers)
        self._open.append(stream)
        destination = metadata_of(stream.routed())["envoy.lb"]["x-gateway-destination-endpoint"]
        return PODS[int(destination.partition(",")[0].rpartition(":")[2])]

    def end(self) -> None:
        """End all requests that were begun here."""
        while self._open:
            self._open.pop().finish()

    def close(self) -> None:
        self._player.close()

    def page(self, name: str) -> Any:
        return httpx.get(f"{self.worker.http}/debug/{name}").json()

    def in_flight(self) -> dict[str, int]:
        """Requests in flight by pod as this gateway sees them, zeros left out."""
        return {pod["pod"]: pod["in_flight"] for pod in self.page("fleet") if pod["in_flight"]}

    def siblings(self) -> int:
        """The number of replicas of which it knows everything."""
        return len([sibling for sibling in self.page("replicas")["siblings"] if sibling["complete"]])

    @property
    def log(self) -> str:
        return self.worker.log.read_text()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def _three(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    with ExitStack() as stack:
        yield [stack.enter_context(running_gateway(redis, tmp_path_factory.mktemp("gateway"))) for _ in range(3)]


@pytest.fixture
def gateways(_three: list[Gateway]) -> Iterator[list[Gateway]]:
    """All that know each other, and none has anything in flight before or after."""
    until(lambda: all(gateway.siblings() == 2 for gateway in _three))
    yield _three
    for gateway in _three:
        gateway.end()
    agree(_three, {})


@contextmanager
def running_gateway(redis: RedisServer, directory: Path) -> Iterator[Gateway]:
    with running_worker(directory, redis.url, SETTINGS) as worker:
        gateway = Gateway(worker)
        yield gateway
        gateway.close()
        assert '"task_failed"' not in gateway.log


def agree(gateways: list[Gateway], in_flight: dict[str, int]) -> None:
    """Wait until all see the same in flight."""
    until(lambda: all(gateway.in_flight() == in_flight for gateway in gateways))


def test_least_request_counts_what_others_have_sent(gateways):
    sent: Counter[str] = Counter()
    for number in range(9):
        sent[gateways[number % 3].ask(routing_strategy="least-request")] += 1
        agree(gateways, dict(sent))

    assert dict.fromkeys("abc", 3) == sent


def test_a_prefix_that_one_has_sent_is_known_to_all(gateways):
    sent: Counter[str] = Counter()
    for number in range(4):
        prompt = f"prompt {number} " * 300
        home = gateways[0].ask(prompt, routing_strategy="prefix-cache")
        sent[home] += 3
        agree(gateways, dict(sent - Counter({home: 2})))

        assert [home] * 2 == [gateway.ask(prompt, routing_strategy="prefix-cache") for gateway in gateways[1:]]


def test_one_that_comes_is_told_everything_and_the_load_of_a_killed_one_is_gone(gateways, redis, tmp_path):
    loaded = dict(Counter(gateways[0].ask(routing_strategy="least-request") for _ in range(3)))
    with running_gateway(redis, tmp_path) as fourth:
        agree([fourth, *gateways], loaded)
        for _ in range(3):
            fourth.ask(routing_strategy="least-request")
        until(lambda: all(sum(gateway.in_flight().values()) == 6 for gateway in gateways))

        killed_s = time.monotonic()
        fourth.worker.process.kill()
        agree(gateways, loaded)

    assert 1.0 < time.monotonic() - killed_s < 6.0  # 2 s of silence, and a busy machine
    assert '"replica_lost"' in gateways[1].log


def test_one_that_was_stopped_for_5_s_is_forgotten_and_then_believed_once(gateways):
    first, second, third = gateways
    for gateway in (first, third):
        gateway.ask(routing_strategy="least-request")
    until(lambda: sum(second.in_flight().values()) == 2)

    os.kill(third.worker.process.pid, signal.SIGSTOP)
    try:
        until(lambda: sum(second.in_flight().values()) == 1 == second.siblings())
        first.end()  # the stopped one does not hear of it
        until(lambda: second.in_flight() == {})
        time.sleep(3.0)
    finally:
        os.kill(third.worker.process.pid, signal.SIGCONT)

    until(lambda: all(gateway.siblings() == 2 for gateway in gateways))
    until(lambda: all(sum(gateway.in_flight().values()) == 1 for gateway in gateways))


def test_what_is_not_ours_is_ignored_with_one_log_line(gateways, redis):
    first, second, _ = gateways
    name = first.page("replicas")["replica"]
    with redis.client() as stranger:
        for channel in ("forebay:sharing", f"forebay:replica:{name}"):
            for _ in range(5):
                stranger.publish(channel, b"\x00garbage")
        stranger.set("forebay:{sharing}:prefix-key", b"garbage")
    first.ask(routing_strategy="least-request")
    until(lambda: sum(second.in_flight().values()) == 1)

    assert 1 == first.log.count('"message_ignored"')
    assert 10 == first.worker.metrics()['forebay_sharing_refused_messages_total{kind="garbage"}']
    assert f'"replica":"{name}"' in first.log


def test_a_restart_of_redis_parts_nobody_for_long(gateways, redis):
    redis.kill()
    gateways[0].ask(routing_strategy="least-request")
    until(lambda: all(gateway.worker.metrics()["forebay_sharing_up"] == 0 for gateway in gateways))
    assert {0} == {gateway.siblings() for gateway in gateways}
    redis.start()

    until(lambda: all(gateway.siblings() == 2 for gateway in gateways))
    until(lambda: all(sum(gateway.in_flight().values()) == 1 for gateway in gateways))
    until(lambda: all(gateway.worker.metrics()["forebay_sharing_up"] == 1 for gateway in gateways))
