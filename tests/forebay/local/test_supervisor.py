"""The life of parts: start, death, return, end."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from forebay.local import supervisor as module
from forebay.local.probes import accepts
from forebay.local.process import Part
from forebay.local.supervisor import PartFailedError, Supervisor
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.programs import alive


@dataclass
class Heard:
    """What a supervisor said, and how often it reported a change."""

    lines: list[str] = field(default_factory=list)
    changes: int = 0

    def changed(self) -> None:
        self.changes += 1

    def supervisor(self) -> Supervisor:
        return Supervisor(self.lines.append, self.changed)


def server(name: str, role: str = "server") -> Part:
    address = free_address()
    argv = (sys.executable, "-m", "tests.support.worker", address)
    return Part(role, name, argv, address, partial(accepts, address))


def broken(code: str, log: Path | None = None) -> Part:
    return replace(server("broken"), argv=(sys.executable, "-c", code), log=log)


def deaf(stop_s: float) -> Part:
    """A server that ignores SIGTERM."""
    part = server("deaf")
    code = f"""
import asyncio, signal
from tests.support import worker
signal.signal(signal.SIGTERM, signal.SIG_IGN)
async def main():
    host, _, port = {part.address!r}.rpartition(":")
    await asyncio.start_server(worker.answer, host, int(port))
    await asyncio.sleep(60)
asyncio.run(main())
"""
    return replace(part, argv=(sys.executable, "-c", code), stop_s=stop_s)


def pids(supervisor: Supervisor) -> dict[str, int]:
    return {part.name: pid for part, pid in supervisor.running()}


async def test_parts_are_ready_when_start_returns_and_gone_when_stop_does():
    heard = Heard()
    supervisor = heard.supervisor()
    parts = [server("a"), server("b")]

    await supervisor.start(*parts)

    assert [True, True] == [await part.ready() for part in parts]
    assert ["a", "b"] == sorted(line.split()[0] for line in heard.lines)
    started = pids(supervisor)
    await supervisor.stop()
    assert not any(alive(pid) for pid in started.values())
    assert [] == supervisor.running()


async def test_a_part_that_is_killed_is_back_soon_and_a_line_says_so():
    heard = Heard()
    supervisor = heard.supervisor()
    part = server("a")
    died: list[int] = []
    await supervisor.start(replace(part, on_death=died.append))
    first = pids(supervisor)["a"]
    changes = heard.changes

    os.kill(first, signal.SIGKILL)
    await until(lambda: pids(supervisor).get("a", first) != first)
    await until(part.ready)

    assert [first] == died
    assert "a ended with status -9, starting it again in 0.1 s" in heard.lines
    assert changes + 2 == heard.changes
    await supervisor.stop()


async def test_the_pauses_grow_while_a_part_keeps_dying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01, 0.04))
    heard = Heard()
    supervisor = heard.supervisor()
    flag = tmp_path / "dies now"
    part = server("a")
    code = f"""
import pathlib, runpy, sys
if pathlib.Path({str(flag)!r}).exists(): sys.exit(3)
sys.argv = ["worker", {part.address!r}]
runpy.run_module("tests.support.worker", run_name="__main__")
"""
    await supervisor.start(replace(part, argv=(sys.executable, "-c", code)))

    flag.touch()
    os.kill(pids(supervisor)["a"], signal.SIGKILL)

    await until(lambda: len(heard.lines) >= 6)
    await supervisor.stop()
    pauses = [line.split()[-2] for line in heard.lines[1:6]]
    assert ["0.01", "0.02", "0.04", "0.04", "0.04"] == pauses


async def test_a_part_that_does_not_start_fails_with_the_end_of_its_log(tmp_path: Path):
    supervisor = Heard().supervisor()
    part = broken("raise SystemExit('no such model')", tmp_path / "broken.log")

    with pytest.raises(PartFailedError, match=r"broken ended with status 1(.|\n)*broken.log(.|\n)*no such model"):
        await supervisor.start(part)
    await supervisor.stop()


async def test_a_command_that_does_not_exist_fails_by_name():
    supervisor = Heard().supervisor()

    with pytest.raises(PartFailedError, match=r"cannot be started: .*no-such-program"):
        await supervisor.start(replace(server("a"), argv=("/no-such-program",)))
    await supervisor.stop()


async def test_a_part_that_never_becomes_ready_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "START_S", 0.2)
    supervisor = Heard().supervisor()

    with pytest.raises(PartFailedError, match=r"broken not ready in 0\.2 s"):
        await supervisor.start(broken("import time; time.sleep(60)"))
    await supervisor.stop()


async def test_the_failure_of_one_part_leaves_no_other_behind():
    heard = Heard()
    supervisor = heard.supervisor()
    with pytest.raises(PartFailedError):
        await supervisor.start(server("a"), broken("raise SystemExit(1)"))
    running = list(pids(supervisor).values())

    await supervisor.stop()

    assert running
    assert not any(alive(pid) for pid in running)


async def test_what_ends_first_does_so_then_the_last_role_to_start():
    order: list[str] = []

    def noting(part: Part) -> Part:
        return replace(part, on_death=lambda _pid: order.append(part.name))

    supervisor = Heard().supervisor()
    await supervisor.start(noting(server("redis", role="redis")))
    await supervisor.start(noting(replace(server("gateway", role="gateway"), ends_first=True)))
    await supervisor.start(noting(server("envoy", role="envoy")))

    await supervisor.stop()

    assert ["gateway", "envoy", "redis"] == order


async def test_in_a_hurry_nobody_is_waited_for():
    hurry = asyncio.Event()
    supervisor = Heard().supervisor()
    await supervisor.start(deaf(stop_s=60), server("b", role="other"))
    running = list(pids(supervisor).values())
    stopping = asyncio.create_task(supervisor.stop(hurry))
    await until(lambda: not alive(running[1]))  # ended first; now the deaf one is asked and waited for

    hurry.set()
    await asyncio.wait_for(stopping, timeout=10)

    assert not any(alive(pid) for pid in running)
    assert {} == pids(supervisor)


async def test_a_part_that_ignores_the_order_to_end_is_killed():
    supervisor = Heard().supervisor()
    await supervisor.start(deaf(stop_s=0.2))
    pid = pids(supervisor)["deaf"]

    await supervisor.stop()

    assert not alive(pid)
