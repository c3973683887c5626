"""Lines for people, and Ctrl-C as an event."""

import asyncio
import os
import signal

import pytest

from forebay.local.console import finished, say, stop_signals


def test_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]):
    say("ready")

    assert "ready\n" == capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_become_an_event_and_the_second_one_another(number: signal.Signals):
    stopping, hurry = stop_signals()

    os.kill(os.getpid(), number)
    await asyncio.wait_for(stopping.wait(), 30)
    assert not hurry.is_set()

    os.kill(os.getpid(), number)
    await asyncio.wait_for(hurry.wait(), 30)


async def test_work_that_is_done_is_finished():
    assert await finished(asyncio.sleep(0), asyncio.Event())


async def test_work_is_given_up_when_told_to_stop():
    stopping = asyncio.Event()
    given_up = asyncio.Event()

    async def work() -> None:
        try:
            stopping.set()
            await asyncio.Event().wait()
        finally:
            given_up.set()

    assert not await finished(work(), stopping)
    assert given_up.is_set()


async def test_errors_of_the_work_are_raised():
    async def work() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await finished(work(), asyncio.Event())
