"""One operating-system process: started on a leash, watched, ended.

Lives here: fork, limits, signals, waiting.  Not here: when to start it again (forebay.local.supervisor).
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

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child may only call, not load
_LOG_TAIL_LINES = 12
_OPEN_FILES = 65_536
"""A request in flight costs Envoy two or three; the usual soft limit of 1,024 ends at a few hundred streams."""


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as allowed; the processes it starts inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True, slots=True)
class Part:
    """What to run, and how to know that it runs."""

    role: str
    """As in run.json: redis, gateway, envoy, engine."""
    name: str
    """Unique, for people and for the log file."""
    argv: Sequence[str]
    address: str
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own."""
    log: Path | None = None
    """None: the supervisor's own output."""
    advice: str = ""
    """What a person can do when it does not start."""
    ends_first: bool = False
    """It needs the others to finish its work."""
    stop_s: float = 5.0
    """Between being told to end and being killed."""
    on_death: Callable[[int], None] = lambda _pid: None
    """Called with the id of each process of this part that ended."""

    def log_tail(self) -> str:
        """The last lines of the log, for an error message."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


class Process:
    """A running process.  It dies with the thread that made it, which must be the main one."""

    def __init__(self, part: Part) -> None:
        log = part.log.open("ab") if part.log else None
        try:
            self._popen = subprocess.Popen(
                part.argv,
                env={**os.environ, **part.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for the supervisor, which ends the parts in order
                preexec_fn=_DieWithParent(os.getpid()),  # noqa: PLW1509 - the child takes no lock before exec
            )
        finally:
            if log:
                log.close()
        self.pid = self._popen.pid

    async def exited(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        if (status := self._popen.poll()) is not None:
            return status
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return self._popen.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal; nothing happens when the process has ended."""
        self._popen.send_signal(number)


class _DieWithParent:
    """Runs in the child between fork and exec: the kernel kills it when its parent is gone, `kill -9` included."""

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def __call__(self) -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # it died before the leash was on
            os._exit(1)
