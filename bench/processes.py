"""Processes of the benchmark: start them, wait until they listen, read their CPU time, stop them.

Lives here: what all of them have in common.  Not here: which processes a variant has (variants).
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
"""The longest wait for a process to listen, in seconds (chosen)."""
STOP_TIMEOUT_S = 15.0
"""Seconds from SIGTERM to SIGKILL (chosen)."""
_POLL_S = 0.02
NO_VARIABLES: Mapping[str, str] = {}
_CPUCLOCK_SCHED = 2
"""Linux's kind of CPU clock that counts the scheduled time, in nanoseconds."""


class StartError(Exception):
    """A process exited or did not listen in time; the message has the end of its log."""


def free_port() -> int:
    """Return a port that no process listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Return so many different ports that no process listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def running(
    name: str, argv: Sequence[str], port: int, directory: Path, env: Mapping[str, str] = NO_VARIABLES
) -> Iterator[int]:
    """Run `argv`, yield its process id once it listens on `port`, and stop it after the block.  Raises StartError."""
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
    """Return the command line that runs a module of this project with this interpreter."""
    return (sys.executable, "-m", module, *arguments)


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, with its ended threads, and of its descendants that still run.

    It reads the CPU clock of the process (clock_getcpuclockid(3)), because /proc/PID/stat counts in ticks of 10 ms,
    which is too coarse for a hundred streams.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED) + sum(map(cpu_seconds, _children(pid)))


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
