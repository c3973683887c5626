"""A model without pods, behind Envoy Gateway: its requests wait for the first pod, which answers them all."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.support.kubernetes.article import chat, deployment, service
from tests.support.kubernetes.autoscalers import an_autoscaler
from tests.support.kubernetes.installed import CHAT, Answers, Forebay
from tests.support.kubernetes.node.network import GATEWAY

MODEL = "asleep"
NOBODY_STARTS_ONE = "not-ready"
"""A word of the gateway's own refusal: it does not know yet that somebody starts a pod."""
SPOOFED = ("first-pod", "x-forebay-first-pod", "x-gateway-destination-endpoint", "target-pod")
PAUSE_S = 0.05
"""Between two requests."""
ENOUGH = 200
"""Answers after which no more is asked: far more than have waited."""


@pytest.fixture(scope="module")
def asleep(forebay: Forebay) -> Iterator[Forebay]:
    """The installation with a model that has no pod, and an autoscaler that starts one on demand."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": MODEL}
    autoscaler = an_autoscaler(MODEL, scaleTargetRef=target, minReplicas=0, maxReplicas=1)
    forebay.apply(deployment(MODEL, replicas=0), service(MODEL), autoscaler)
    yield forebay
    forebay.kubectl("delete", "podautoscaler", MODEL, "--timeout=60s")
    forebay.remove(MODEL)


def a_client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=180, limits=httpx.Limits(max_connections=None))


@contextlib.asynccontextmanager
async def a_trap() -> AsyncIterator[tuple[str, list[None]]]:
    """The address of a server that no client may reach, and its connections."""
    connections: list[None] = []

    def caught(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        writer.close()

    async with await asyncio.start_server(caught, GATEWAY, 0) as server:
        yield f"{GATEWAY}:{server.sockets[0].getsockname()[1]}", connections


async def test_what_waits_for_the_first_pod_or_comes_with_it_is_answered_by_it_and_by_nobody_else(asleep: Forebay):
    answers = Answers()

    async def ask(number: int) -> None:
        body = chat(MODEL, max_tokens=4, stream=bool(number % 2))
        answer = await http.post(CHAT, json=body, headers=spoofed)
        if NOBODY_STARTS_ONE not in answer.text:
            answers.take(answer)

    async with a_trap() as (trap, caught), a_client(asleep.url) as http, asyncio.TaskGroup() as asking:
        spoofed = dict.fromkeys(SPOOFED, trap)
        for number in itertools.count():
            asking.create_task(ask(number))
            await asyncio.sleep(PAUSE_S)
            if answers.count > ENOUGH:
                break

    assert [] == answers.lost
    [pod] = answers.pods
    assert pod.startswith(MODEL)
    assert [] == caught
