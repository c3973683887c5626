"""Keeps processes running: starts each, waits until it is ready, restarts it when it exits, stops all in order.

Lives here: the life cycle of a set of processes.  Not here: which processes there are (forebay.local.up,
forebay.local.service).
"""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay.local.supervision.console import completed_before
from forebay.local.supervision.process import Process, ProcessSpec

POLL_S = 0.02
"""Seconds between two readiness probes (chosen: a start takes at most this much longer than the slowest process)."""
START_TIMEOUT_S = 60.0
"""The longest wait for the first readiness of a process, in seconds (chosen: Redis may have to load its data, and four
workers that started together beside a load of 9 on two cores took more than 20 s)."""
BACK_OFF_S = (0.1, 5.0)
"""Shortest and longest pause before a process that exited is restarted, in seconds; it doubles in between (chosen)."""
STEADY_S = 10.0
"""After this many seconds of running, the next restart waits for the shortest pause again (chosen)."""


class StartError(Exception):
    """A process did not start.  The message has the end of its log and what the user can do."""

    def __init__(self, spec: ProcessSpec, what: str) -> None:
        tail = spec.log_tail()
        where = f"\nIts log, {spec.log}, ends with:\n{_indented(tail)}" if tail else ""
        advice = f"\n{spec.advice}" if spec.advice else ""
        super().__init__(f"{spec.name} {what}\nCommand: {' '.join(spec.argv)}{where}{advice}")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


@dataclass
class _Supervised:
    """A spec and its running process, which is None while there is none."""

    spec: ProcessSpec
    process: Process | None = None
    restarts: asyncio.Task[None] | None = None
    back_off_s: float = field(default_factory=lambda: BACK_OFF_S[0])


class Supervisor:
    """Starts processes and keeps them running.

    `print_line` prints a line for the user; `on_change` is called whenever a process starts or exits.
    """

    def __init__(self, print_line: Callable[[str], None], on_change: Callable[[], None] = lambda: None) -> None:
        self._print_line = print_line
        self._on_change = on_change
        self._all: list[_Supervised] = []

    def running(self) -> list[tuple[ProcessSpec, int]]:
        """Return each spec that has a process, with the process id, in the order in which they were started."""
        return [(each.spec, each.process.pid) for each in self._all if each.process]

    async def start(self, *specs: ProcessSpec) -> None:
        """Start processes concurrently and return when all are ready.  Raises StartError when one is not."""
        starting = [_Supervised(spec) for spec in specs]
        self._all.extend(starting)
        try:
            async with asyncio.TaskGroup() as group:
                for each in starting:
                    group.create_task(self._start(each), name=f"start {each.spec.name}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the first failure cancels the other starts

    async def end(self, spec: ProcessSpec) -> None:
        """Stop one process and supervise it no more; one that is not there is ended already."""
        for each in [each for each in self._all if each.spec is spec]:
            if each.restarts:
                each.restarts.cancel()
            await self._stop(each, signal.SIGTERM, signal.SIGKILL)
            self._all.remove(each)
        self._on_change()

    async def stop(self, kill_requested: asyncio.Event | None = None) -> None:
        """Stop all processes, one role at a time: `stops_first` first, then in the reverse order of starting.

        Once `kill_requested` is set, all are killed at once.
        """
        for each in self._all:
            if each.restarts:
                each.restarts.cancel()
        if not await completed_before(kill_requested or asyncio.Event(), self._stop_in_order()):
            await asyncio.gather(*(self._stop(each, signal.SIGKILL) for each in self._all))
        self._all.clear()
        self._on_change()

    async def _stop_in_order(self) -> None:
        latest_first = list(dict.fromkeys(each.spec.role for each in reversed(self._all)))
        first = {each.spec.role for each in self._all if each.spec.stops_first}
        for role in sorted(latest_first, key=lambda role: role not in first):
            of_role = [each for each in self._all if each.spec.role == role]
            await asyncio.gather(*(self._stop(each, signal.SIGTERM, signal.SIGKILL) for each in of_role))

    async def _start(self, supervised: _Supervised) -> None:
        began = time.monotonic()
        spec, process = supervised.spec, self._spawn(supervised)
        exited = asyncio.ensure_future(process.wait())
        ready = asyncio.ensure_future(_wait_until_ready(spec))
        try:
            await asyncio.wait({exited, ready}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                supervised.process = None
            if not ready.done():
                raise StartError(
                    spec,
                    f"ended with status {exited.result()}" if exited.done() else f"not ready in {START_TIMEOUT_S} s",
                )
        finally:
            ready.cancel()
            exited.cancel()
        self._print_line(f"{spec.name:<10} {spec.address}  ({time.monotonic() - began:.1f} s)")
        supervised.restarts = asyncio.create_task(self._restart_on_exit(supervised), name=f"restart {spec.name}")

    def _spawn(self, supervised: _Supervised) -> Process:
        try:
            supervised.process = Process(supervised.spec)
        except OSError as error:
            raise StartError(supervised.spec, f"cannot be started: {error}") from error
        self._on_change()
        return supervised.process

    async def _restart_on_exit(self, supervised: _Supervised) -> None:
        """Restart the process whenever it exits, after a pause that doubles while it keeps exiting."""
        while True:
            began = time.monotonic()
            if supervised.process:
                await self._wait_for_exit(supervised, supervised.process)
            if time.monotonic() - began > STEADY_S:
                supervised.back_off_s = BACK_OFF_S[0]
            await asyncio.sleep(supervised.back_off_s)
            supervised.back_off_s = min(2 * supervised.back_off_s, BACK_OFF_S[1])
            try:
                self._spawn(supervised)
            except StartError as error:
                self._print_line(str(error))

    async def _wait_for_exit(self, supervised: _Supervised, process: Process) -> None:
        status = await process.wait()
        supervised.process = None
        supervised.spec.on_exit(process.pid)
        self._on_change()
        pause = f"{supervised.back_off_s:g} s"
        self._print_line(f"{supervised.spec.name} ended with status {status}, starting it again in {pause}")

    async def _stop(self, supervised: _Supervised, *numbers: signal.Signals) -> None:
        """Send the signals one after the other until the process has exited."""
        if supervised.process is None:
            return
        exited = asyncio.ensure_future(supervised.process.wait())
        for number in numbers:
            supervised.process.send_signal(number)
            await asyncio.wait({exited}, timeout=supervised.spec.stop_timeout_s)
            if exited.done():
                break
        supervised.spec.on_exit(supervised.process.pid)
        supervised.process = None


async def _wait_until_ready(spec: ProcessSpec) -> None:
    while not await spec.ready():  # noqa: ASYNC110 - another process becomes ready, it sets no event of ours
        await asyncio.sleep(POLL_S)
