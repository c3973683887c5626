"""The terminal of a supervisor: lines of output, and Ctrl-C as events.

Lives here: printing without delay, signals as events.  Not here: the text that is printed.
"""

import asyncio
import signal
from collections.abc import Coroutine

import click


def print_line(line: str) -> None:
    """Print a line on standard output and flush it, so that a reader of a pipe sees it at once."""
    click.echo(line)


def stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return two events, one for an orderly stop and one for an immediate one.

    The first SIGINT or SIGTERM sets the first event, the next signal the second.
    """
    stop_requested, kill_requested = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (kill_requested if stop_requested.is_set() else stop_requested).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop_requested, kill_requested


async def completed_before(event: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Run `work`, cancel it once `event` is set, and return whether it completed.  Raises what `work` raises."""
    working = asyncio.ensure_future(work)
    interrupted = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        for task in (working, interrupted):
            task.cancel()
        await asyncio.gather(working, interrupted, return_exceptions=True)
