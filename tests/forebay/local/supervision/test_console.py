"""Lines of output, and Ctrl-C as events."""

import asyncio
import os
import signal

import pytest

from forebay.local.supervision.console import completed_before, print_line, stop_signals


def test_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]):
    print_line("ready")

    assert "ready\n" == capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_sets_one_event_and_the_second_the_other(number: signal.Signals):
    stop_requested, kill_requested = stop_signals()

    os.kill(os.getpid(), number)
    await asyncio.wait_for(stop_requested.wait(), 30)
    assert not kill_requested.is_set()

    os.kill(os.getpid(), number)
    await asyncio.wait_for(kill_requested.wait(), 30)


async def test_work_that_ends_by_itself_is_completed():
    assert await completed_before(asyncio.Event(), asyncio.sleep(0))


async def test_work_is_cancelled_when_the_event_is_set():
    event, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            event.set()
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert not await completed_before(event, work())
    assert cancelled.is_set()


async def test_errors_of_the_work_are_raised():
    async def work() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await completed_before(asyncio.Event(), work())
