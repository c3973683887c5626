"""Processes of the benchmark: started, waited for, their CPU time read, ended.

Lives here: what is the same for all of them.  Not here: which processes a variant has (variants).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.02
NOTHING_MORE: Mapping[str, str] = {}
_CPUCLOCK_SCHED = 2
"""Linux: the kind of CPU clock that counts what the scheduler gave, in nanoseconds."""


class StartError(Exception):
    """A process of the benchmark ended or did not listen in time; the message has the end of its log."""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def running(
    name: str, argv: Sequence[str], port: int, directory: Path, env: Mapping[str, str] = NOTHING_MORE
) -> Iterator[int]:
    """The pid of `argv`, listening on `port`; ended when the block is left.  Raises StartError."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **env}
        )
    try:
        _wait_for(process, port, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"{log.stem} does not listen on {port}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(_POLL_S)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """The command line that runs a module of this project with this interpreter."""
    return (sys.executable, "-m", module, *arguments)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its ended threads too, and of every process below it that still runs.

    The clock of another process (clock_getcpuclockid(3)): /proc/PID/stat has the same time in ticks of 10 ms, too
    coarse for a hundred streams.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED) + sum(map(cpu_seconds, _children(pid)))


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
