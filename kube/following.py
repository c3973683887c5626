"""Several sets of objects followed together, and what somebody makes of all of them.

Lives here: when it is due.  Not here: following one set (informer), what is made (gateway.discovery,
optimizer.service).  While the API server is away the last value stays.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from random import Random
from typing import Any, TypeVar

from kube.client import Client, Selection
from kube.informer import Informer, Pace
from kube.models import BY_ANNOTATION, MODEL
from kube.objects import Key, Kind, Object

T = TypeVar("T", bound=Object)
Made = TypeVar("Made")

OPTIONAL_WAIT_S = 2.0
"""The longest that the first value waits for optional sets (chosen): an account may not be allowed to read them."""
PACE = Pace(gather_s=0.1)
"""A storm of events costs ten values per second."""


def named(client: Client, kinds: Iterable[Kind[Any]], namespace: str, rng: Random) -> Sequence[Informer[Any]]:
    """Return the sets of the objects of these kinds that name a model, in the label or in the annotation."""
    selections = [Selection(namespace, labels) for labels in (MODEL, BY_ANNOTATION)]
    return [Informer(client, kind, some, rng, PACE) for kind in kinds for some in selections]


def joined(informers: Iterable[Informer[T]]) -> dict[Key, T]:
    """Return the objects of sets whose keys differ."""
    return {key: one for informer in informers for key, one in informer.objects.items()}


def by_kind(informers: Iterable[Informer[T]]) -> dict[tuple[str, Key], T]:
    """Return the objects of sets of several kinds, by kind and key."""
    return {(informer.kind.name, key): one for informer in informers for key, one in informer.objects.items()}


def behind(informers: Iterable[Informer[Any]]) -> dict[str, float]:
    """Return for how long each set has not been the API server's, by kind; without kinds that are not installed."""
    longest: dict[str, float] = {}
    for informer in informers:
        if not informer.is_absent:
            longest[informer.kind.name] = max(longest.get(informer.kind.name, 0.0), informer.behind_s())
    return longest


async def values(
    make: Callable[[], Made], informers: Sequence[Informer[Any]], optional: Sequence[Informer[Any]] = ()
) -> AsyncGenerator[Made, None]:
    """Follow the sets, and yield what `make` makes of them after the first lists, and whenever it differs.

    The `optional` sets are not awaited where their kind is not installed, and not for long where the account may not
    list them.
    """
    before: Made | None = None
    changed = asyncio.Event()
    listed = {informer: asyncio.Event() for informer in (*informers, *optional)}
    tasks = [asyncio.create_task(informer.run(), name="follow") for informer in listed]
    for informer, first in listed.items():
        note = _note(informer, first, changed, is_optional=informer in optional)
        tasks.append(asyncio.create_task(note, name="note"))
    try:
        required, late = ([listed[one] for one in some] for some in (informers, optional))
        await _unless_ended(_all_listed(required, late), tasks)
        while True:
            changed.clear()
            if (made := make()) != before:
                before = made
                yield made
            await _unless_ended(changed.wait(), tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _note(informer: Informer[Any], first: asyncio.Event, changed: asyncio.Event, *, is_optional: bool) -> None:
    """Say when the set was listed first, and when anything in it changed; an optional kind may not be installed."""
    async for _ in informer.changes():
        if informer.is_listed or is_optional:
            first.set()
            changed.set()


async def _all_listed(listed: Sequence[asyncio.Event], optional: Sequence[asyncio.Event]) -> None:
    """Wait for all sets, but not long for the optional ones."""
    for event in listed:
        await event.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OPTIONAL_WAIT_S):
            for event in optional:
                await event.wait()


async def _unless_ended(work: Coroutine[Any, Any, Any], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `work`.  Raises what ended one of the tasks, which should never end."""
    waiting = asyncio.create_task(work, name="wait")
    try:
        done, _ = await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in done:
        task.result()
