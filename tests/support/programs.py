"""Programs started by tests: their output as it comes, and a certain end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.polling import DEADLINE_S


@dataclass
class Program:
    """A running program and the lines it has printed."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def prints(self, text: str) -> str:
        """Wait for a line that contains `text`; what was printed instead is in the failure."""
        assert self.process.stdout
        async with asyncio.timeout(DEADLINE_S):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip("\n"))
                if text in line:
                    return self.lines[-1]
        raise AssertionError(f"ended without saying {text!r}:\n" + "\n".join(self.lines))

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, read the rest; the exit status."""
        assert self.process.stdout
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE_S):
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def program(module: str, *arguments: str) -> AsyncIterator[Program]:
    """`python -m module arguments`, ended with the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    running = Program(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            await running.end()


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a pseudo-file
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
