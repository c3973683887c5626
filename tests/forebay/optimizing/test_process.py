"""`forebay optimizer` as a process, from traces in a real Redis to what autoscalers read."""

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.support import raw_http
from tests.support.command import run
from tests.support.optimizer import (
    QUICK,
    a_deployments_file,
    a_profile,
    a_window,
    keep_writing,
    optimizer,
    write_traffic,
)
from tests.support.polling import until
from tests.support.redis import RedisServer, redis_server

MODEL = "org/m"
SHORT, LONG = (128, 32), (2048, 256)
L20, V100 = [[10.0, 2.0], [5.0, 0.0]], [[12.0, 10.0], [6.0, 2.0]]
"""Requests per second by output and input: an L20 serves no long answers to long prompts."""
PRICES = {"m-l20": 1.0, "m-v100": 3.0}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        client = running.own_client
        client.set(f"aibrix:profile_{MODEL}_m-l20", a_profile("m-l20", PRICES["m-l20"], L20))
        client.set(f"aibrix:profile_{MODEL}_m-v100", a_profile("m-v100", PRICES["m-v100"], V100))
        client.set(f"aibrix:profile_{MODEL}_m-l20-other", "no profile")
        yield running


@pytest.fixture
def deployments(tmp_path: Path) -> Path:
    names = ({"name": name, "model": MODEL, "ready": 99} for name in PRICES)
    return a_deployments_file(tmp_path / "deployments.json", *names)


def a_broken_file(path: Path) -> None:
    path.write_text("deployments: [")


def cheapest(short: float, long: float) -> float:
    """The least cost by trying all: V100s carry 2 long requests a second, L20s none, and what is left short ones."""
    slower = 1.5

    def is_enough(l20: int, v100: int) -> bool:
        free = v100 - long * slower / 2
        return free >= -1e-9 and short * slower <= 10 * l20 + 12 * free + 1e-9

    return min(PRICES["m-l20"] * a + PRICES["m-v100"] * b for a, b in product(range(40), repeat=2) if is_enough(a, b))


@pytest.mark.parametrize(("short", "long"), [(30.0, 0.0), (30.0, 3.0), (4.0, 0.0), (1.0, 5.0)])
async def test_the_mix_is_the_cheapest_that_serves_the_traffic(
    server: RedisServer, deployments: Path, tmp_path: Path, short: float, long: float
):
    rate = short + long
    await write_traffic(server.url, MODEL, [a_window(rate, {SHORT: short / rate, LONG: long / rate})] * 30)

    with optimizer(server.url, deployments, tmp_path / "log", "--margin=1.5") as running:
        await until(running.is_ready)
        counts = dict(zip(PRICES, await running.replicas(*PRICES), strict=True))

    assert cheapest(short, long) == sum(PRICES[name] * (n or 0.0) for name, n in counts.items())


async def test_load_stops_and_returns(server: RedisServer, tmp_path: Path):
    file = a_deployments_file(
        tmp_path / "deployments.json",
        {"name": "m-l20", "model": MODEL, "ready": 99},
        {"name": "m-v100", "model": MODEL, "ready": 99, "min_replicas": 1},
    )
    busy, idle = a_window(30, {SHORT: 1.0}), a_window(0, {})
    await write_traffic(server.url, MODEL, [busy] * 10)
    async with keep_writing(server.url, MODEL, busy) as traffic:
        with optimizer(server.url, file, tmp_path / "log", *QUICK, "--idle-after=15") as running:
            await until(lambda: _is(running.replicas("m-l20", "m-v100"), (5, 0)))
            traffic["now"] = idle
            await until(lambda: _is(running.replicas("m-l20", "m-v100"), (0, 1)), deadline_s=90)
            traffic["now"] = busy
            await until(lambda: _is(running.replicas("m-l20"), (5,)), deadline_s=60)


async def _is(asked: Awaitable[object], expected: object) -> bool:
    return (await asked) == expected


async def test_redis_killed_and_started_again_changes_nothing(server: RedisServer, deployments: Path, tmp_path: Path):
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 10)
    with optimizer(server.url, deployments, tmp_path / "log", *QUICK) as running:
        await until(lambda: _is(running.replicas(*PRICES), (5, 0)))
        server.kill()

        await until(lambda: bool(running.logged("redis_away")))
        assert (5, 0) == await running.replicas(*PRICES)
        assert [200, 200] == [await running.status(path) for path in ("/healthz", "/readyz")]
        assert any(line.startswith("Redis is away") for line in (await running.explained(MODEL))["missing"])
        assert "forebay_optimizer_redis_up 0.0" in (await running.call("GET", "/metrics")).text

        server.start()
        await until(lambda: len(running.logged("redis_answers")) == 2)
        assert (5, 0) == await running.replicas(*PRICES)


async def test_without_redis_it_lives_and_keeps_what_runs(tmp_path: Path):
    file = a_deployments_file(tmp_path / "deployments.json", {"name": "d", "model": "m", "replicas": 3})

    with optimizer("unix:///nonexistent/redis.sock", file, tmp_path / "log") as running:
        await until(running.is_ready)

        assert (3,) == await running.replicas("d")
        assert "Redis is away" in str((await running.call("GET", "/readyz")).json()["notes"])


async def test_an_optimizer_that_was_killed_goes_on_where_it_was(server: RedisServer, tmp_path: Path):
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 30)
    file = a_deployments_file(tmp_path / "deployments.json", *({"name": name, "model": MODEL} for name in PRICES))
    with optimizer(server.url, file, tmp_path / "log") as first:
        await until(lambda: _is(first.replicas(*PRICES), (5, 0)))
        first.stop(signal.SIGKILL)
    a_deployments_file(file, *({"name": name, "model": MODEL, "replicas": 5} for name in PRICES))
    with optimizer(server.url, file, tmp_path / "log2") as second:
        await until(second.is_ready)

        # It shrinks late, as an optimizer that had gone on would: never at once after a start.
        assert (5, 5) == await second.replicas(*PRICES)
        assert any("5 to 0 replicas waits" in line for line in (await second.explained(MODEL))["held"])


async def test_deployments_come_and_go_with_the_file(server: RedisServer, deployments: Path, tmp_path: Path):
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 10)
    with optimizer(server.url, deployments, tmp_path / "log", *QUICK) as running:
        await until(lambda: _is(running.replicas(*PRICES), (5, 0)))
        a_broken_file(deployments)
        await until(lambda: bool(running.logged("deployments_rejected")))
        assert (5, 0) == await running.replicas(*PRICES)

        a_deployments_file(deployments, {"name": "m-v100", "model": MODEL, "ready": 99})
        await until(lambda: _is(running.replicas(*PRICES), (None, 4)))


async def test_profiles_come_from_files_too_and_broken_ones_are_told(server: RedisServer, tmp_path: Path):
    server.flush()
    await write_traffic(server.url, MODEL, [a_window(30, {SHORT: 1.0})] * 10)
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "l20.json").write_text(a_profile("m-l20", 1.0, [[float("nan"), 1.0], [1.0, 1.0]]))
    (folder / "h100.json").write_text(a_profile("nobody", 1.0, L20))
    file = a_deployments_file(tmp_path / "deployments.json", {"name": "m-l20", "model": MODEL})
    with optimizer(server.url, file, tmp_path / "log", *QUICK, f"--profiles={folder}") as running:
        await until(running.is_ready)
        explained = await running.explained(MODEL)
        assert "tputs[0][0] = NaN" in explained["stages"]["profiles"]
        assert ["profiles of default/m-l20"] == explained["missing"]
        assert any("must be the name of a known deployment" in note for note in explained["notes"])

        (folder / "l20.json").write_text(a_profile("m-l20", 1.0, L20))
        await until(lambda: _is(running.replicas("m-l20"), (5,)))


async def test_a_bundled_profile_is_used_by_gpu_type(server: RedisServer, tmp_path: Path):
    await write_traffic(server.url, MODEL, [a_window(5, {SHORT: 1.0})] * 10)
    file = a_deployments_file(tmp_path / "deployments.json", {"name": "d", "model": MODEL, "gpu": "L20"})
    with optimizer(server.url, file, tmp_path / "log", "--profiles=bundled") as running:
        await until(running.is_ready)

        assert "bundled L20" == (await running.explained(MODEL))["deployments"]["default/d"]["profile"]
        assert (await running.replicas("d"))[0]


async def test_a_slow_body_does_not_hold_others(server: RedisServer, deployments: Path, tmp_path: Path):
    with optimizer(server.url, deployments, tmp_path / "log") as running:
        await until(running.is_ready)
        head = raw_http.request("/simulate", b"", b"content-length: 1000")
        with raw_http.connected(running.url) as slow:
            slow.sendall(head + b"{")

            assert 200 == await running.status("/healthz")
            answer = await asyncio.to_thread(raw_http.read_answer, slow)
        assert (408, ["error"]) == (answer.status, list(json.loads(answer.body)))


async def test_on_other_addresses_changes_need_the_token(server: RedisServer, deployments: Path, tmp_path: Path):
    port = _free_port_everywhere()
    options = (f"--listen=0.0.0.0:{port}", "--admin-token=s3cret")
    with optimizer(server.url, deployments, tmp_path / "log", *options) as running:
        running.url = f"http://127.0.0.1:{port}"
        await until(running.is_ready)
        reading = {"host": "aibrix-gpu-optimizer.aibrix-system:8080"}
        assert 200 == (await running.call("GET", "/explain/org/m", headers=reading)).status_code
        for headers, status in (({}, 401), ({"authorization": "Bearer s3cret"}, 200)):
            answer = await running.call("PUT", "/scale/default/m-l20", json={"replicas": 2}, headers=headers)
            assert status == answer.status_code


async def test_on_loopback_no_web_page_gets_in_by_its_name(server: RedisServer, deployments: Path, tmp_path: Path):
    with optimizer(server.url, deployments, tmp_path / "log") as running:
        await until(running.is_ready)
        by_host = await running.call("GET", "/plan/org/m", headers={"host": "evil.example"})
        by_origin = await running.call("POST", "/monitor/default/m-l20", headers={"origin": "http://evil.example"})

        assert [403, 403] == [by_host.status_code, by_origin.status_code]
        assert 200 == (await running.call("POST", "/monitor/default/m-l20")).status_code


async def test_it_says_what_it_is_and_ends_in_order(server: RedisServer, deployments: Path, tmp_path: Path):
    with optimizer(server.url, deployments, tmp_path / "log") as running:
        await until(running.is_ready)

        assert "/explain/{model}" in (await running.call("GET", "/")).text
        assert 0 == running.stop()
        assert running.logged("optimizer_stops")


def test_an_address_in_use_is_one_line(deployments: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("optimizer", f"--deployments={deployments}", f"--listen=127.0.0.1:{port}")

    assert 1 == result.exit_code
    assert result.output.startswith(f"Error: --listen = 127.0.0.1:{port}, is in use")


def _free_port_everywhere() -> int:
    with socket.create_server(("0.0.0.0", 0)) as probe:
        return int(probe.getsockname()[1])
