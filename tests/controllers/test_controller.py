"""Sets that a controller follows: what is said of those that it cannot."""

import asyncio
from random import Random

from controllers.controller import look_at_changes, unfollowed
from kube.backoff import Backoff
from kube.client import ALL
from kube.informer import Informer, Pace
from tests.support.kubernetes.conversation import Request, answer
from tests.support.kubernetes.maps import CONFIG_MAPS
from tests.support.kubernetes.script import PATH, a_line, a_list, a_watch, an_item, talking
from tests.support.polling import until

SLOW = Pace(backoff=Backoff(first_s=3600, cap_s=3600), gather_s=0.0)
LIST = Request("GET", f"{PATH}?limit=500")


async def test_a_set_that_cannot_be_followed_says_why():
    async with talking([(LIST, answer("404 page not found", status=404))]) as (client, _):
        informer = Informer(client, CONFIG_MAPS, ALL, Random(1), SLOW)
        assert ["ConfigMap is not followed: not listed yet"] == list(unfollowed([informer]))

        running = asyncio.create_task(informer.run())
        await until(lambda: informer.is_absent)
        assert ["ConfigMap of v1 is not installed"] == list(unfollowed([informer]))
        running.cancel()


async def test_a_set_that_is_followed_is_looked_at_after_each_change():
    looks = []
    exchanges = [a_list(5, an_item("a", 1)), a_watch(5, a_line("MODIFIED", an_item("a", 6)))]
    async with talking(exchanges) as (client, _):
        informer = Informer(client, CONFIG_MAPS, ALL, Random(1), SLOW)
        tasks = [
            asyncio.create_task(informer.run()),
            asyncio.create_task(
                look_at_changes(informer, lambda: looks.append(informer.objects["n/a"].metadata.resource_version))
            ),
        ]
        await until(lambda: looks[-1:] == ["6"])

        assert [] == list(unfollowed([informer]))
        for task in tasks:
            task.cancel()
