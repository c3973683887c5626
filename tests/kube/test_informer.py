"""A set that follows a server which fails in every way.  The real one is in tests/contract/kube."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import structlog

from kube.backoff import Backoff
from kube.client import Selection
from kube.informer import Informer, Pace
from tests.support.kubernetes.conversation import Answer, Double, Exchange, Piece, Request, answer
from tests.support.kubernetes.maps import CONFIG_MAPS, ConfigMap
from tests.support.kubernetes.script import (
    PATH,
    a_bookmark,
    a_line,
    a_list,
    a_watch,
    an_error,
    an_item,
    talking,
    watch_request,
)
from tests.support.polling import until

FAST = Pace(backoff=Backoff(first_s=0.005, cap_s=0.01), resync_s=3600, gather_s=0.0)
AWAY = answer("away", status=503)


@asynccontextmanager
async def following(*exchanges: Exchange, pace: Pace = FAST) -> AsyncIterator[tuple[Informer[ConfigMap], Double]]:
    """An informer of all ConfigMaps that runs."""
    async with talking(exchanges) as (client, double):
        informer = Informer(client, CONFIG_MAPS, Selection(), Random(1), pace)
        task = asyncio.create_task(informer.run())
        try:
            yield informer, double
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait((task,))


def versions(informer: Informer[ConfigMap]) -> dict[str, str]:
    return {key: one.metadata.resource_version for key, one in informer.objects.items()}


def has(informer: Informer[ConfigMap], **wanted: str) -> Callable[[], bool]:
    return lambda: versions(informer) == {f"n/{name}": version for name, version in wanted.items()}


def watched(double: Double) -> Sequence[str]:
    """The versions from which was watched."""
    return [part[16:] for request in double.asked for part in request.target.split("&") if "resourceVersion=" in part]


async def test_a_watch_goes_on_where_the_last_one_ended_without_a_list():
    async with following(
        a_list(5, an_item("a", 1)),
        a_watch(5, a_line("ADDED", an_item("b", 6)), a_bookmark(9), is_open=False),
        a_watch(9, a_line("DELETED", an_item("a", 10))),
    ) as (informer, double):
        await until(has(informer, b="6"))

        assert ["5", "9"] == watched(double)
        assert (1, 2, 0) == (informer.counts.lists, informer.counts.watches, informer.counts.failures)


async def test_an_expired_version_is_listed_at_once_and_what_vanished_is_told():
    async with following(
        a_list(5, an_item("gone", 1), an_item("same", 2)),
        a_watch(5, a_bookmark(6), an_error(410, "Expired")),
        a_list(50, an_item("same", 2), an_item("new", 40)),
        a_watch(50),
    ) as (informer, double):
        changes = informer.changes()
        told = set(await anext(changes))
        await until(has(informer, same="2", new="40"))
        told |= await anext(changes)

        assert {"n/gone", "n/same", "n/new"} == told
        assert ["5", "50"] == watched(double)


async def test_while_the_server_is_away_the_last_set_stays():
    away = [(watch_request(5), AWAY)] * 5
    with structlog.testing.capture_logs() as logs:
        async with following(
            a_list(5, an_item("a", 1)),
            a_watch(5, a_bookmark(5), is_open=False),
            *away,
            a_watch(5, a_line("MODIFIED", an_item("a", 7))),
        ) as (informer, _):
            seen = []
            async for keys in informer.changes():
                seen.append((set(keys), versions(informer)))
                if len(seen) == 2:
                    break
            assert informer.is_current

    assert [({"n/a"}, {"n/a": "1"}), ({"n/a"}, {"n/a": "7"})] == seen
    assert (1, 5) == (informer.counts.lists, informer.counts.failures)
    events = [entry["event"] for entry in logs]
    assert ["kube_followed", "kube_not_followed", "kube_followed"] == events


async def test_before_the_first_list_nothing_is_told():
    list_request = Request("GET", f"{PATH}?limit=500")
    async with following((list_request, AWAY), (list_request, AWAY), a_list(5), a_watch(5)) as (informer, _):
        assert not informer.is_current

        assert frozenset() == await anext(informer.changes())

        assert informer.is_current
        assert 2 == informer.counts.failures


async def test_a_kind_that_is_not_installed_is_told_once_and_followed_when_it_is():
    list_request = Request("GET", f"{PATH}?limit=500")
    missing = answer("404 page not found", status=404)
    with structlog.testing.capture_logs() as logs:
        async with following((list_request, missing), (list_request, missing), a_list(5), a_watch(5)) as (informer, _):
            assert not informer.is_known
            changes = informer.changes()
            assert frozenset() == await anext(changes)
            assert (True, True, False) == (informer.is_known, informer.is_absent, informer.is_listed)
            assert informer.behind_s() > 0

            assert frozenset() == await anext(changes)
            assert (True, False, True, 0.0) == (
                informer.is_known,
                informer.is_absent,
                informer.is_current,
                informer.behind_s(),
            )

    assert ["kube_not_followed", "kube_followed"] == [entry["event"] for entry in logs]


async def test_a_version_that_expires_again_and_again_is_listed_with_pauses():
    slow = Pace(backoff=Backoff(first_s=3600, cap_s=3600), gather_s=0.0)
    expired = [exchange for _ in range(3) for exchange in (a_list(5), a_watch(5, an_error(410, "Expired")))]
    async with following(*expired, pace=slow) as (informer, _):
        await until(lambda: informer.counts.failures == 2)
        await asyncio.sleep(0.1)

        assert 2 == informer.counts.lists


async def test_watches_that_end_at_once_are_failures():
    slow = Pace(backoff=Backoff(first_s=3600, cap_s=3600), gather_s=0.0)
    async with following(a_list(5), *[a_watch(5, is_open=False)] * 3, pace=slow) as (informer, _):
        await until(lambda: informer.counts.failures == 1)
        await asyncio.sleep(0.1)

        assert 1 == informer.counts.watches


async def test_events_that_come_while_it_pauses_are_taken_afterwards():
    late = [Piece(3, a_line("MODIFIED", an_item("a", version))) for version in range(6, 16)]
    watch = a_watch(5)[0], Answer(pieces=late, is_open=True)
    async with talking([a_list(5, an_item("a", 1)), watch, a_list(5)]) as (client, double):
        informer = Informer(client, CONFIG_MAPS, Selection(), Random(1), Pace(gather_s=0.02))
        running = asyncio.create_task(informer.run())
        await until(lambda: len(double.asked) == 2)
        await asyncio.sleep(0.01)
        await client.list(CONFIG_MAPS)  # lets the first event come, which was waited for

        await until(has(informer, a="15"))
        assert (1, 10) == (informer.counts.watches, informer.counts.events)
        running.cancel()


async def test_every_key_is_told_again_in_time():
    async with following(
        a_list(5, an_item("a", 1), an_item("b", 2)), a_watch(5), pace=Pace(resync_s=0.02, gather_s=0.0)
    ) as (informer, _):
        changes = informer.changes()
        told = [await anext(changes) for _ in range(3)]

        assert [{"n/a", "n/b"}] * 3 == told


async def test_changes_while_the_reader_works_are_told_together():
    lines = [a_line("MODIFIED", an_item("a", version)) for version in range(6, 106)]
    async with following(a_list(5, an_item("a", 1), an_item("b", 2)), a_watch(5, *lines)) as (informer, _):
        changes = informer.changes()
        await until(lambda: informer.counts.events == 100)

        assert {"n/a", "n/b"} == await anext(changes)
        assert {"n/a": "105", "n/b": "2"} == versions(informer)
