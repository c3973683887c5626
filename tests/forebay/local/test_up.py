"""`forebay up` as a process: real Redis, Envoy and engine, stand-in workers."""

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tests.support.polling import until
from tests.support.programs import Program, alive, program

SUPERVISED = "tests.support.supervised"


def shell_variables(data: Path) -> dict[str, str]:
    names = ["GATEWAY", "ADMIN", "HTTP", "GRPC", "ENVOY_ADMIN", "REDIS_URL", "ENGINES", "MODEL"]
    script = f". {data}/env; " + "; ".join(f'echo "${name}"' for name in names)
    answer = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return dict(zip(names, answer.stdout.splitlines(), strict=True))


def run_json(data: Path) -> list[dict[str, Any]]:
    return list(orjson.loads((data / "run.json").read_bytes()))


def processes(data: Path) -> dict[str, int]:
    return {record["name"]: record["pid"] for record in run_json(data)}


async def ready(up: Program) -> None:
    await up.prints("ready")
    await up.prints("temperature")


async def test_scripts_get_its_output_and_its_files_and_no_process_stays(tmp_path: Path):
    async with program(SUPERVISED, "up", str(tmp_path), "2") as up:
        await ready(up)
        written = shell_variables(tmp_path)
        running = processes(tmp_path)

        at = up.lines.index("ready")
        assert {"redis", "engine-1", "gateway-1", "gateway-2", "envoy"} == {line.split()[0] for line in up.lines[:at]}
        assert (tmp_path / "env").read_text().splitlines() == up.lines[at + 1 : at + 9]
        assert f"curl {written['ADMIN']}/CreateUser" in "\n".join(up.lines[at:])
        assert {"redis", "engine-1", "gateway-1", "gateway-2", "envoy"} == running.keys()
        assert all(alive(pid) for pid in running.values())
        assert 0 == await up.end(signal.SIGINT)

    assert not any(alive(pid) for pid in running.values())
    assert [] == orjson.loads((tmp_path / "run.json").read_bytes())
    assert {"redis.log", "engine-1.log", "gateway-1.log", "envoy.log"} <= {
        log.name for log in (tmp_path / "logs").iterdir()
    }


async def test_nobody_else_can_read_the_token_or_any_other_file(tmp_path: Path):
    base, data = tmp_path / "base.yaml", tmp_path / "data"
    base.write_text("admin_token: secret\n")
    base.chmod(0o600)
    of_an_older_version(data)
    umask = os.umask(0)
    try:
        async with program(SUPERVISED, "up", str(data), "1", str(base)) as up:
            await ready(up)
            running = processes(data).values()
            command_lines = [(Path("/proc") / str(pid) / "cmdline").read_bytes() for pid in running]
            modes = {
                path: path.stat().st_mode & 0o777 for path in (data, *data.rglob("*")) if path == data or path.is_file()
            }
    finally:
        os.umask(umask)

    assert "secret" in (data / "forebay.yaml").read_text()
    assert {data / "logs" / "gateway-1.log", data / "envoy" / "envoy.json", data / "env"} <= modes.keys()
    assert {} == {path: oct(mode) for path, mode in modes.items() if mode & 0o077}
    assert not any(b"secret" in line for line in command_lines)


def of_an_older_version(data: Path) -> None:
    """Make a directory whose files everybody may read."""
    (data / "envoy").mkdir(parents=True)
    data.chmod(0o755)
    for name in ("forebay.yaml", "models.yaml", "env", "run.json", "envoy/envoy.json"):
        (data / name).write_text("{}")
        (data / name).chmod(0o644)


async def test_every_process_that_is_killed_is_restarted(tmp_path: Path):
    async with program(SUPERVISED, "up", str(tmp_path), "1") as up:
        await ready(up)
        for name, pid in processes(tmp_path).items():
            os.kill(pid, signal.SIGKILL)
            await up.prints(f"{name} ended with status -9")
            await until(lambda name=name, pid=pid: processes(tmp_path).get(name, pid) != pid)


async def test_users_and_the_usual_ports_survive_a_restart(tmp_path: Path):
    for expected in (None, b"{}"):
        async with program(SUPERVISED, "up", str(tmp_path), "1") as up:
            await ready(up)
            with redis.Redis.from_url(shell_variables(tmp_path)["REDIS_URL"]) as client:
                assert expected == client.get("aibrix-users/lgy")
                client.set("aibrix-users/lgy", "{}")


async def test_two_run_side_by_side_but_not_in_the_same_directory(tmp_path: Path):
    a, b = tmp_path / "a", tmp_path / "b"
    async with program(SUPERVISED, "up", str(a), "1") as first, program(SUPERVISED, "up", str(b), "1") as second:
        await ready(first)
        await ready(second)
        mine, others = shell_variables(a), shell_variables(b)
        assert {"MODEL"} == {name for name, value in mine.items() if others[name] == value}

        async with program(SUPERVISED, "up", str(a), "1") as third:
            await third.prints("already runs")
            assert 1 == await third.process.wait()
        assert mine == shell_variables(a)


async def test_redis_gets_another_port_when_its_own_is_taken_before_it_listens(tmp_path: Path):
    async with program(SUPERVISED, "up-robbed", str(tmp_path), "1") as up:
        taken = await up.prints("Redis gets another port")
        await ready(up)
        with redis.Redis.from_url(shell_variables(tmp_path)["REDIS_URL"]) as client:
            assert client.ping()

    assert shell_variables_in(up)["REDIS_URL"].removesuffix("/0").rpartition("/")[2] not in taken
    assert shell_variables_in(up)["REDIS_URL"] in (tmp_path / "forebay.yaml").read_text()


def shell_variables_in(up: Program) -> dict[str, str]:
    at = up.lines.index("ready")
    return dict(line.split("=", 1) for line in up.lines[at + 1 : at + 9])


async def test_some_start_at_once_while_others_take_ports_as_fast_as_they_can(tmp_path: Path):
    async with contextlib.AsyncExitStack() as blocks:
        robber = await blocks.enter_async_context(program("tests.support.robber"))
        runs = [
            await blocks.enter_async_context(program(SUPERVISED, "up", str(tmp_path / str(number)), "4"))
            for number in range(2)
        ]
        await asyncio.gather(*map(ready, runs))

        addresses = [record["address"] for number in range(2) for record in run_json(tmp_path / str(number))]
        assert len(addresses) == len(set(addresses))
        assert not any("ended with status" in line for up in runs for line in up.lines)
        assert robber.process.returncode is None


async def test_a_killed_supervisor_leaves_no_process_and_the_next_start_works(tmp_path: Path):
    async with program(SUPERVISED, "up", str(tmp_path), "1") as up:
        await ready(up)
        running = processes(tmp_path)
        await up.end(signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in running.values()))

    async with program(SUPERVISED, "up", str(tmp_path), "1") as again:
        await ready(again)


async def test_a_process_that_does_not_start_is_named_with_its_log_and_no_other_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_text("this is no append-only file")
    (tmp_path / "redis" / "appendonlydir").write_text("nor is this a folder")
    async with program(SUPERVISED, "up", str(tmp_path), "1") as up:
        await up.prints("forebay up could not start: redis ended with status 1")
        assert 1 == await up.process.wait()
        await up.end()

    assert "redis.log, ends with:" in "\n".join(up.lines)
    assert "move it away" in "\n".join(up.lines)
    assert not (tmp_path / "env").exists()
