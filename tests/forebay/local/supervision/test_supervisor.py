"""The life cycle of processes: start, exit, restart, stop."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from forebay.local.supervision import supervisor as module
from forebay.local.supervision.probes import accepts
from forebay.local.supervision.process import ProcessSpec
from forebay.local.supervision.supervisor import StartError, Supervisor
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.programs import alive


@dataclass
class Output:
    """The lines that a supervisor printed, and how often it reported a change."""

    lines: list[str] = field(default_factory=list)
    changes: int = 0

    def on_change(self) -> None:
        self.changes += 1

    def supervisor(self) -> Supervisor:
        return Supervisor(self.lines.append, self.on_change)


def server(name: str, role: str = "server") -> ProcessSpec:
    address = free_address()
    argv = (sys.executable, "-m", "tests.support.worker", address)
    return ProcessSpec(role, name, argv, address, partial(accepts, address))


def broken(code: str, log: Path | None = None) -> ProcessSpec:
    return replace(server("broken"), argv=(sys.executable, "-c", code), log=log)


def ignoring_sigterm(stop_timeout_s: float) -> ProcessSpec:
    """A server that ignores SIGTERM."""
    spec = server("stubborn")
    code = f"""
import asyncio, signal
from tests.support import worker
signal.signal(signal.SIGTERM, signal.SIG_IGN)
async def main():
    host, _, port = {spec.address!r}.rpartition(":")
    await asyncio.start_server(worker.answer, host, int(port))
    await asyncio.sleep(60)
asyncio.run(main())
"""
    return replace(spec, argv=(sys.executable, "-c", code), stop_timeout_s=stop_timeout_s)


def pids(supervisor: Supervisor) -> dict[str, int]:
    return {spec.name: pid for spec, pid in supervisor.running()}


async def test_processes_are_ready_when_start_returns_and_gone_when_stop_does():
    output = Output()
    supervisor = output.supervisor()
    specs = [server("a"), server("b")]

    await supervisor.start(*specs)

    assert [True, True] == [await spec.ready() for spec in specs]
    assert ["a", "b"] == sorted(line.split()[0] for line in output.lines)
    started = pids(supervisor)
    await supervisor.stop()
    assert not any(alive(pid) for pid in started.values())
    assert [] == supervisor.running()


async def test_a_killed_process_is_restarted_and_a_line_says_so():
    output = Output()
    supervisor = output.supervisor()
    spec = server("a")
    exited: list[int] = []
    await supervisor.start(replace(spec, on_exit=exited.append))
    first = pids(supervisor)["a"]
    changes = output.changes

    os.kill(first, signal.SIGKILL)
    await until(lambda: pids(supervisor).get("a", first) != first)
    await until(spec.ready)

    assert [first] == exited
    assert "a ended with status -9, starting it again in 0.1 s" in output.lines
    assert changes + 2 == output.changes
    await supervisor.stop()


async def test_the_pauses_grow_while_a_process_keeps_exiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01, 0.04))
    output = Output()
    supervisor = output.supervisor()
    flag = tmp_path / "exits now"
    spec = server("a")
    code = f"""
import pathlib, runpy, sys
if pathlib.Path({str(flag)!r}).exists(): sys.exit(3)
sys.argv = ["worker", {spec.address!r}]
runpy.run_module("tests.support.worker", run_name="__main__")
"""
    await supervisor.start(replace(spec, argv=(sys.executable, "-c", code)))

    flag.touch()
    os.kill(pids(supervisor)["a"], signal.SIGKILL)

    await until(lambda: len(output.lines) >= 6)
    await supervisor.stop()
    pauses = [line.split()[-2] for line in output.lines[1:6]]
    assert ["0.01", "0.02", "0.04", "0.04", "0.04"] == pauses


async def test_a_process_that_does_not_start_fails_with_the_end_of_its_log(tmp_path: Path):
    supervisor = Output().supervisor()
    spec = broken("raise SystemExit('no such model')", tmp_path / "broken.log")

    with pytest.raises(StartError, match=r"broken ended with status 1(.|\n)*broken.log(.|\n)*no such model"):
        await supervisor.start(spec)
    await supervisor.stop()


async def test_a_command_that_does_not_exist_fails_by_name():
    supervisor = Output().supervisor()

    with pytest.raises(StartError, match=r"cannot be started: .*no-such-program"):
        await supervisor.start(replace(server("a"), argv=("/no-such-program",)))
    await supervisor.stop()


async def test_a_process_that_never_becomes_ready_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.2)
    supervisor = Output().supervisor()

    with pytest.raises(StartError, match=r"broken not ready in 0\.2 s"):
        await supervisor.start(broken("import time; time.sleep(60)"))
    await supervisor.stop()


async def test_the_failure_of_one_process_leaves_no_other_running():
    output = Output()
    supervisor = output.supervisor()
    with pytest.raises(StartError):
        await supervisor.start(server("a"), broken("raise SystemExit(1)"))
    running = list(pids(supervisor).values())

    await supervisor.stop()

    assert running
    assert not any(alive(pid) for pid in running)


async def test_what_stops_first_does_so_then_the_last_role_to_start():
    order: list[str] = []

    def recorded(spec: ProcessSpec) -> ProcessSpec:
        return replace(spec, on_exit=lambda _pid: order.append(spec.name))

    supervisor = Output().supervisor()
    await supervisor.start(recorded(server("redis", role="redis")))
    await supervisor.start(recorded(replace(server("gateway", role="gateway"), stops_first=True)))
    await supervisor.start(recorded(server("envoy", role="envoy")))

    await supervisor.stop()

    assert ["gateway", "envoy", "redis"] == order


async def test_a_requested_kill_waits_for_no_process():
    kill_requested = asyncio.Event()
    supervisor = Output().supervisor()
    await supervisor.start(ignoring_sigterm(stop_timeout_s=60), server("b", role="other"))
    running = list(pids(supervisor).values())
    stopping = asyncio.create_task(supervisor.stop(kill_requested))
    await until(lambda: not alive(running[1]))  # ended first; now the other one has SIGTERM and is waited for

    kill_requested.set()
    await asyncio.wait_for(stopping, timeout=10)

    assert not any(alive(pid) for pid in running)
    assert {} == pids(supervisor)


async def test_a_process_that_ignores_sigterm_is_killed():
    supervisor = Output().supervisor()
    await supervisor.start(ignoring_sigterm(stop_timeout_s=0.2))
    pid = pids(supervisor)["stubborn"]

    await supervisor.stop()

    assert not alive(pid)


async def test_a_process_that_is_ended_is_not_started_again_and_the_others_stay():
    output = Output()
    supervisor = output.supervisor()
    specs = [server("a"), server("b")]
    await supervisor.start(*specs)
    ended = pids(supervisor)["a"]

    await supervisor.end(specs[0])
    await supervisor.end(specs[0])  # once more changes nothing

    assert not alive(ended)
    assert ["b"] == list(pids(supervisor))
    await asyncio.sleep(2 * module.BACK_OFF_S[0])
    assert ["b"] == list(pids(supervisor))
    assert not any("starting it again" in line for line in output.lines)
    await supervisor.stop()
