"""Keeps parts running: starts each, waits until it is ready, starts it again when it dies, ends all in order.

Lives here: the life of a set of parts.  Not here: which parts there are (forebay.local.up, forebay.local.service).
"""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay.local.console import finished
from forebay.local.process import Part, Process

POLL_S = 0.02
"""Between two readiness questions; a start is as slow as the slowest part plus one of these."""
START_S = 20.0
"""Longest wait for a part's first readiness; Redis may load its data."""
BACK_OFF_S = (0.1, 5.0)
"""First and longest pause before a part that died is started again; doubles in between."""
STEADY_S = 10.0
"""A part that ran this long starts from the first pause again."""


class PartFailedError(Exception):
    """A part did not start.  The message is for people: the end of its log, and what can be done."""

    def __init__(self, part: Part, what: str) -> None:
        tail = part.log_tail()
        where = f"\nIts log, {part.log}, ends with:\n{_indented(tail)}" if tail else ""
        advice = f"\n{part.advice}" if part.advice else ""
        super().__init__(f"{part.name} {what}\nCommand: {' '.join(part.argv)}{where}{advice}")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


@dataclass
class _Life:
    """A part and its present process; None while it is down."""

    part: Part
    process: Process | None = None
    keeper: asyncio.Task[None] | None = None
    back_off_s: float = field(default_factory=lambda: BACK_OFF_S[0])


class Supervisor:
    """Starts parts and keeps them; `say` gets lines for people, `changed` is called when any process comes or goes."""

    def __init__(self, say: Callable[[str], None], changed: Callable[[], None] = lambda: None) -> None:
        self._say = say
        self._changed = changed
        self._lives: list[_Life] = []

    def running(self) -> list[tuple[Part, int]]:
        """Every part that has a process, and its id, in the order of starting."""
        return [(life.part, life.process.pid) for life in self._lives if life.process]

    async def start(self, *parts: Part) -> None:
        """Start side by side; returns when all are ready.  Raises PartFailedError when one is not."""
        lives = [_Life(part) for part in parts]
        self._lives.extend(lives)
        try:
            async with asyncio.TaskGroup() as group:
                for life in lives:
                    group.create_task(self._start(life), name=f"start {life.part.name}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the first failure ends the others' start

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """End all parts: those that end first, then the last started first, one role at a time.

        Once `hurry` is set, all at once and without asking.
        """
        for life in self._lives:
            if life.keeper:
                life.keeper.cancel()
        if not await finished(self._end_in_order(), hurry or asyncio.Event()):
            await asyncio.gather(*(self._end(life, signal.SIGKILL) for life in self._lives))
        self._lives.clear()
        self._changed()

    async def _end_in_order(self) -> None:
        latest_first = list(dict.fromkeys(life.part.role for life in reversed(self._lives)))
        first = {life.part.role for life in self._lives if life.part.ends_first}
        for role in sorted(latest_first, key=lambda role: role not in first):
            lives = [life for life in self._lives if life.part.role == role]
            await asyncio.gather(*(self._end(life, signal.SIGTERM, signal.SIGKILL) for life in lives))

    async def _start(self, life: _Life) -> None:
        began = time.monotonic()
        process = self._spawn(life)
        exited = asyncio.ensure_future(process.exited())
        ready = asyncio.ensure_future(_until_ready(life.part))
        try:
            await asyncio.wait({exited, ready}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise PartFailedError(
                    life.part, f"ended with status {exited.result()}" if exited.done() else f"not ready in {START_S} s"
                )
        finally:
            ready.cancel()
            exited.cancel()
        self._say(f"{life.part.name:<10} {life.part.address}  ({time.monotonic() - began:.1f} s)")
        life.keeper = asyncio.create_task(self._keep(life), name=f"keep {life.part.name}")

    def _spawn(self, life: _Life) -> Process:
        try:
            life.process = Process(life.part)
        except OSError as error:
            raise PartFailedError(life.part, f"cannot be started: {error}") from error
        self._changed()
        return life.process

    async def _keep(self, life: _Life) -> None:
        """Start the part again whenever it ends, after a pause that grows while it keeps dying."""
        while True:
            began = time.monotonic()
            if life.process:
                await self._on_exit(life)
            if time.monotonic() - began > STEADY_S:
                life.back_off_s = BACK_OFF_S[0]
            await asyncio.sleep(life.back_off_s)
            life.back_off_s = min(2 * life.back_off_s, BACK_OFF_S[1])
            try:
                self._spawn(life)
            except PartFailedError as error:
                self._say(str(error))

    async def _on_exit(self, life: _Life) -> None:
        process = life.process
        assert process is not None  # noqa: S101 - the caller has looked
        status = await process.exited()
        life.process = None
        life.part.on_death(process.pid)
        self._changed()
        self._say(f"{life.part.name} ended with status {status}, starting it again in {life.back_off_s:g} s")

    async def _end(self, life: _Life, *numbers: signal.Signals) -> None:
        """Send one signal after the other until it has ended."""
        if life.process is None:
            return
        exited = asyncio.ensure_future(life.process.exited())
        for number in numbers:
            life.process.send(number)
            await asyncio.wait({exited}, timeout=life.part.stop_s)
            if exited.done():
                break
        life.part.on_death(life.process.pid)
        life.process = None


async def _until_ready(part: Part) -> None:
    while not await part.ready():  # noqa: ASYNC110 - another process becomes ready, it sets no event of ours
        await asyncio.sleep(POLL_S)
