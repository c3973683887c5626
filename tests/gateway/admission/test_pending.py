"""The future of a request that may wait, and the timer of those that do."""

import asyncio

import pytest

from gateway.admission.pending import LoopTimer, PendingAdmission
from gateway.fleet.ticket import Ticket
from gateway.openai.errors import ClientGoneError
from routing.types import NoCandidateError
from tests.support.desk import REQUEST, SLO, Desk


def pending(desk: Desk) -> PendingAdmission:
    return PendingAdmission(desk.queue, REQUEST, SLO, "least-request", 0.0)


async def test_a_turn_that_comes_at_once_waits_for_nothing() -> None:
    admission = pending(Desk())

    assert not admission.is_waiting
    assert isinstance(await admission.ticket(), Ticket)


async def test_a_turn_comes_when_a_pod_opens() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    admission = pending(desk)
    assert admission.is_waiting

    desk.fire()

    assert (await admission.ticket()).pod.in_flight == 1


async def test_a_refusal_is_raised() -> None:
    desk = Desk()
    desk.fill(seconds=100.0)

    with pytest.raises(NoCandidateError):
        await pending(desk).ticket()


async def test_who_leaves_hears_so_and_holds_up_nobody() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    admission = pending(desk)
    admission.leave()
    admission.leave()
    desk.queue.advance(5.0)

    with pytest.raises(ClientGoneError):
        await admission.ticket()
    assert next(desk.fleet.pods()).in_flight == 0


async def test_leaving_after_the_turn_came_changes_nothing() -> None:
    admission = pending(Desk())
    admission.leave()

    assert isinstance(await admission.ticket(), Ticket)


async def test_the_timer_fires_once_at_the_earliest_of_its_times() -> None:
    loop, fired = asyncio.get_running_loop(), asyncio.Event()
    times: list[float] = []

    def callback(now_s: float) -> None:
        times.append(now_s)
        fired.set()

    timer = LoopTimer(loop.time)
    start_s = loop.time()
    for after_s in (600.0, -5.0, 500.0):
        timer.set(start_s + after_s, callback)
    await fired.wait()

    assert len(times) == 1
    assert times[0] < start_s + 500.0
    fired.clear()
    timer.set(start_s, callback)
    await fired.wait()
    assert len(times) == 2
