"""The future of a request that may wait, and the timer of those that do."""

import asyncio

import pytest

from gateway.admission.pending import PendingAdmission, Timer
from gateway.fleet.fleet import Ticket
from gateway.openai.errors import ClientGoneError
from routing.types import NoCandidateError
from tests.support.desk import REQUEST, SLO, Desk


def a_turn(desk: Desk) -> PendingAdmission:
    return PendingAdmission(desk.late, REQUEST, SLO, "least-request", 0.0)


async def test_a_turn_that_comes_at_once_waits_for_nothing() -> None:
    turn = a_turn(Desk())

    assert not turn.waits
    assert isinstance(await turn.ticket(), Ticket)


async def test_a_turn_comes_when_a_pod_opens() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    turn = a_turn(desk)
    assert turn.waits

    desk.ring()

    assert (await turn.ticket()).pod.in_flight == 1


async def test_a_refusal_is_raised() -> None:
    desk = Desk()
    desk.fill(seconds=100.0)

    with pytest.raises(NoCandidateError):
        await a_turn(desk).ticket()


async def test_who_leaves_hears_so_and_holds_up_nobody() -> None:
    desk = Desk()
    desk.fill(seconds=1.0)
    turn = a_turn(desk)
    turn.leave()
    turn.leave()
    desk.late.advance(5.0)

    with pytest.raises(ClientGoneError):
        await turn.ticket()
    assert next(desk.fleet.pods()).in_flight == 0


async def test_leaving_after_the_turn_came_changes_nothing() -> None:
    turn = a_turn(Desk())
    turn.leave()

    assert isinstance(await turn.ticket(), Ticket)


async def test_the_alarm_rings_once_at_the_earliest_of_its_times() -> None:
    loop, rung = asyncio.get_running_loop(), asyncio.Event()
    times: list[float] = []

    def ring(now_s: float) -> None:
        times.append(now_s)
        rung.set()

    alarm = Timer(ring, loop.time)
    start_s = loop.time()
    for after_s in (600.0, -5.0, 500.0):
        alarm.set(start_s + after_s)
    await rung.wait()

    assert len(times) == 1
    assert times[0] < start_s + 500.0
    rung.clear()
    alarm.set(start_s)
    await rung.wait()
    assert len(times) == 2
