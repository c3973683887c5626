"""Requests that waited reach pods that a real Envoy does not know, the next one when one fails, and no other way."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from gateway.discovery.models import describe
from gateway.envoy import first_pods
from gateway.envoy.config import render
from tests.support.backend import Exchange, running_backend
from tests.support.envoy import running_with, settings_for
from tests.support.ports import free_address
from tests.support.processor import Answer, ObservedEnd, Processor, running


async def hello(exchange: Exchange) -> None:
    await exchange.reply(b"{}")


def waited(seen: ObservedEnd) -> Answer:
    """The client of these tests says what the gateway answers; without `to`, it did not wait."""
    to = seen.headers.get("to", "")
    return Answer(to, "m", metadata={"envoy.lb": {"first-pod": to.partition(",")[0]}}) if to else Answer()


@contextlib.asynccontextmanager
async def patched(directory: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an Envoy with the route and the cluster, as the patches add them to Envoy Gateway's."""
    async with running(Processor(waited)) as processor:
        settings = settings_for([processor.address], {"m": {"known": free_address()}})
        bootstrap = render(settings, describe(settings.models))
        resources = bootstrap["static_resources"]
        resources["clusters"].append(first_pods.cluster(settings))
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"][0]["routes"].insert(0, first_pods.route(settings))
        async with (
            running_with(bootstrap, settings, directory) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
        ):
            yield client


async def test_a_pod_is_reached_by_its_address_and_learns_nothing_of_it(tmp_path: Path):
    async with running_backend(hello) as pod, patched(tmp_path) as client:
        answer = await client.post("/v1/chat/completions", headers={"to": pod.address, "x-forebay-user": "u"})

    assert 200 == answer.status_code
    assert 1 == len(pod.requests)
    assert "x-forebay" not in pod.requests[0].head


async def test_the_next_one_is_tried_when_one_fails_and_no_other(tmp_path: Path):
    async with running_backend(hello) as pod, patched(tmp_path) as client:
        dead = [free_address(), free_address()]
        found = await client.post("/", headers={"to": ",".join([*dead, pod.address])}, content=b"{}")
        lost = await client.post("/", headers={"to": ",".join(dead)}, content=b"{}")

    assert [200, 503] == [found.status_code, lost.status_code]
    assert "retry-after" in lost.headers
    assert [b"{}"] == [each.body for each in pod.requests]


async def test_nothing_that_a_client_sends_leads_there(tmp_path: Path):
    async with running_backend(hello) as pod, patched(tmp_path) as client:
        names = ("first-pod", "x-forebay-first-pod", "x-gateway-destination-endpoint", "x-envoy-original-dst-host")
        answers = [await client.post("/", headers={name: pod.address}) for name in names]

    assert [503] * len(names) == [each.status_code for each in answers]
    assert [] == pod.requests
