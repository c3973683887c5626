"""One operating-system process: started on a leash, watched, ended.

Lives here: fork, signals, waiting.  Not here: when to start it again (gateway.local.supervisor).
"""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child may only call, not load
_LOG_TAIL_LINES = 12


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
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    log: Path | None = None
    """None: the supervisor's own output."""
    advice: str = ""
    """What a person can do when it does not start."""
    drain: Callable[[], Awaitable[None]] | None = None
    """Asked to finish its work before it is told to end."""
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
                env=part.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for the supervisor, which ends the parts in order
                preexec_fn=_Leash(os.getpid()),  # noqa: PLW1509 - there is no other thread that could hold a lock
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


class _Leash:
    """Runs in the child between fork and exec: the kernel kills it when its parent is gone, `kill -9` included."""

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def __call__(self) -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # it died before the leash was on
            os._exit(1)
