"""One operating-system process: spawn it, send it signals, wait for its exit.

Lives here: fork, limits, signals, waiting.  Not here: when to restart it (forebay.local.supervision.supervisor).
"""

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child may only call, not load
_LOG_TAIL_LINES = 12
"""How many lines of its log are shown for a process that did not start (chosen)."""
_OPEN_FILES = 65_536
"""The soft limit of open files to ask for.  A request in flight costs Envoy two or three file descriptors, so the usual
1,024 end at a few hundred streams."""


_LEAST_OPEN_FILES = 64
"""Open files that a supervisor of a few processes needs itself (measured with one worker and one engine)."""


class OpenFileLimitError(click.ClickException):
    """The limit of open files is too low to start; click shows the message as one line."""


def raise_open_file_limit() -> None:
    """Raise this process's soft limit of open files as far as allowed; its child processes inherit the limit.

    Raises OpenFileLimitError when so few are allowed that not even a supervisor could run.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _LEAST_OPEN_FILES:
        raise OpenFileLimitError(f"ulimit -n = {hard}, must allow at least {_LEAST_OPEN_FILES} open files")
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to supervise: its command, its readiness probe, and how to stop it."""

    role: str
    """The kind of process, as in run.json: redis, gateway, envoy or engine."""
    name: str
    """A unique name, for messages and for the log file."""
    argv: Sequence[str]
    address: str
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables added to the supervisor's own environment."""
    log: Path | None = None
    """The file for standard output and standard error; None = the supervisor's own."""
    advice: str = ""
    """The advice printed when the process does not start."""
    stops_first: bool = False
    """Whether it must be stopped while the others still run, because it needs them to finish its work."""
    stop_timeout_s: float = 5.0
    """Seconds from SIGTERM to SIGKILL."""
    on_exit: Callable[[int], None] = lambda _pid: None
    """Called with the process id each time a process of this spec has exited."""

    def log_tail(self) -> str:
        """Return the last lines of the log, for an error message."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


class Process:
    """A running process.  The kernel kills it when the thread that made it ends, so that must be the main thread."""

    def __init__(self, spec: ProcessSpec) -> None:
        log = spec.log.open("ab") if spec.log else None
        try:
            self._popen = subprocess.Popen(
                spec.argv,
                env={**os.environ, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C reaches only the supervisor, which stops the processes in order
                preexec_fn=_DieWithParent(os.getpid()),  # noqa: PLW1509 - the child takes no lock before exec
            )
        finally:
            if log:
                log.close()
        self.pid = self._popen.pid

    async def wait(self) -> int:
        """Wait for the exit and return the exit status, which is negative for a signal."""
        if (status := self._popen.poll()) is not None:
            return status
        loop = asyncio.get_running_loop()
        exited = asyncio.Event()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, exited.set)
        try:
            await exited.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return self._popen.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; do nothing when the process has exited."""
        self._popen.send_signal(number)


class _DieWithParent:
    """Runs in the child between fork and exec: has the kernel kill it when its parent ends, even by `kill -9`."""

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def __call__(self) -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # the parent ended before prctl was called
            os._exit(1)
