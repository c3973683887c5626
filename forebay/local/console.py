"""What supervisors share with the person who runs them: lines of text, and Ctrl-C.

Lives here: printing at once, signals as an event.  Not here: what is said.
"""

import asyncio
import signal
from collections.abc import Coroutine

import click


def say(line: str) -> None:
    """One line on standard output, at once even into a pipe."""
    click.echo(line)


def stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """The first is set by the first SIGINT or SIGTERM: end in order; the second by the next one: end at once."""
    stopping, hurry = asyncio.Event(), asyncio.Event()

    def heard() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, heard)
    return stopping, hurry


async def finished(work: Coroutine[None, None, None], stopping: asyncio.Event) -> bool:
    """Do the work unless told to stop first; True when it was done.  Its errors are raised."""
    working = asyncio.ensure_future(work)
    told = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        for task in (working, told):
            task.cancel()
        await asyncio.gather(working, told, return_exceptions=True)
