"""Sets that are followed together, against a server that answers as written here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import Any

import pytest

from kube import following
from kube.client import ALL
from kube.following import PACE, behind, by_kind, joined, values
from kube.informer import Informer
from kube.objects import Kind, Object
from tests.support.kubernetes.conversation import Exchange, answer
from tests.support.kubernetes.script import PATH, a_line, a_set, an_item, talking
from tests.support.polling import DEADLINE_S

MAPS = Kind("", "v1", "ConfigMap", "configmaps", Object)
SECRETS = Kind("", "v1", "Secret", "secrets", Object)
SECRET_PATH = "/api/v1/secrets"
FORBIDDEN = answer('{"code": 403, "reason": "Forbidden", "message": "no"}', status=403)
NO_KIND = answer("404 page not found", status=404)

Sets = tuple[Informer[Any], Informer[Any]]


@asynccontextmanager
async def sets(*exchanges: Exchange) -> AsyncIterator[Sets]:
    async with talking(exchanges) as (client, _), asyncio.timeout(DEADLINE_S):
        yield Informer(client, MAPS, ALL, Random(1), PACE), Informer(client, SECRETS, ALL, Random(1), PACE)


async def test_a_value_comes_after_all_lists_and_whenever_it_is_another():
    lines = (a_line("MODIFIED", an_item("a", 11)), a_line("ADDED", an_item("b", 12)))
    told = a_set(PATH, an_item("a", 9), then=answer(*lines, is_open=True))

    async with sets(*told, *a_set(SECRET_PATH, an_item("s", 9))) as both:
        seen = []
        async with aclosing(values(lambda: sorted(joined(both)), both)) as made:
            async for names in made:
                seen.append(names)
                if "n/b" in names:
                    break

    assert ["n/a", "n/b", "n/s"] == seen[-1]
    assert all("n/s" in names for names in seen)
    assert len({tuple(names) for names in seen}) == len(seen)


async def test_objects_of_one_name_are_told_apart_by_kind():
    async with (
        sets(*a_set(PATH, an_item("a", 9)), *a_set(SECRET_PATH, an_item("a", 9))) as both,
        aclosing(values(lambda: by_kind(both), both)) as made,
    ):
        assert {("ConfigMap", "n/a"), ("Secret", "n/a")} == set(await anext(made))


@pytest.mark.parametrize("refusal", [FORBIDDEN, NO_KIND])
async def test_an_optional_set_that_is_not_to_be_had_holds_nothing_back(monkeypatch: pytest.MonkeyPatch, refusal: Any):
    monkeypatch.setattr(following, "OPTIONAL_WAIT_S", 0.01)
    missing = [(a_set(SECRET_PATH)[0][0], refusal)] * 50

    async with (
        sets(*a_set(PATH, an_item("a", 9)), *missing) as (maps, secrets),
        aclosing(values(lambda: sorted(maps.objects), (maps,), (secrets,))) as made,
    ):
        assert ["n/a"] == await anext(made)


async def test_sets_say_for_how_long_they_are_behind_but_not_those_that_there_are_not():
    missing = [(a_set(SECRET_PATH)[0][0], FORBIDDEN)] * 50

    async with (
        sets(*a_set(PATH, an_item("a", 9)), *missing) as (maps, secrets),
        aclosing(values(lambda: sorted(maps.objects), (maps,), (secrets,))) as made,
    ):
        await anext(made)
        late = behind((maps, secrets))

    assert late["ConfigMap"] == 0 < late["Secret"]


async def test_a_kind_that_is_not_installed_is_not_behind():
    missing = [(a_set(SECRET_PATH)[0][0], NO_KIND)] * 50

    async with (
        sets(*a_set(PATH), *missing) as (maps, secrets),
        aclosing(values(lambda: len(maps.objects), (maps,), (secrets,))) as made,
    ):
        await anext(made)
        assert {"ConfigMap": 0.0} == behind((maps, secrets))
