"""No request is lost while a cluster changes: behind the real Envoy Gateway, by kubectl, under load."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kubernetes.conftest import eventually
from tests.support.kubernetes.article import deployment, service
from tests.support.kubernetes.installed import NAMESPACE, Answers, Forebay

MODEL = "under-load"
LABEL = f"model.aibrix.ai/name={MODEL}"
ENOUGH = 20
"""Answers between two steps: the load goes on, whatever it meets."""


def a_model(name: str = "", replicas: int = 2) -> dict[str, Any]:
    """The article's Deployment, whose pods finish what they have: on SIGTERM vLLM, and so its stand-in, gives it up."""
    made = deployment(MODEL, name, replicas)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 3}}}
    return made


@pytest.fixture(scope="module", autouse=True)
def model(forebay: Forebay) -> Iterator[None]:
    """A model with two pods that answer."""
    forebay.apply(a_model(), service(MODEL))
    forebay.rolled_out(MODEL, "default")
    forebay.answers(200, MODEL)
    yield
    forebay.remove(MODEL)


async def step(answers: Answers, change: Callable[..., object], *arguments: object) -> None:
    """Make a change and let the load go on for a while."""
    await asyncio.to_thread(change, *arguments)
    count = answers.count
    await eventually(lambda: answers.count >= count + ENOUGH)


def scale(forebay: Forebay, replicas: int, name: str = MODEL) -> None:
    forebay.kubectl("scale", f"deployment/{name}", f"--replicas={replicas}")
    forebay.rolled_out(name, "default")


def routes(forebay: Forebay) -> str:
    return forebay.kubectl("get", "httproute", "-n", NAMESPACE, "-o", "name")


def restart(forebay: Forebay, name: str, namespace: str) -> None:
    forebay.kubectl("rollout", "restart", f"deployment/{name}", "-n", namespace)
    forebay.rolled_out(name, namespace)


async def test_a_model_is_scaled_and_rolled(forebay: Forebay):
    before = set(forebay.pods(LABEL))
    async with forebay.load(MODEL) as answers:
        await step(answers, scale, forebay, 3)
        grown = set(forebay.pods(LABEL))
        await eventually(lambda: grown <= answers.pods.keys())
        await step(answers, scale, forebay, 1)
        await step(answers, scale, forebay, 2)
        await step(answers, restart, forebay, MODEL, "default")

        async def all_are_new_and_answer() -> bool:
            now = set(await asyncio.to_thread(forebay.pods, LABEL))
            return not before & now and now <= answers.pods.keys()

        await eventually(all_are_new_and_answer)

    assert [] == answers.lost


async def test_the_gateway_itself_is_rolled(forebay: Forebay):
    labels = "app.kubernetes.io/name=aibrix-gateway-plugins"
    before = set(forebay.pods(labels, NAMESPACE))
    async with forebay.load(MODEL) as answers:
        await step(answers, restart, forebay, "aibrix-gateway-plugins", NAMESPACE)
        await eventually(lambda: not before & set(forebay.pods(labels, NAMESPACE)))

    assert [] == answers.lost


async def test_the_api_server_goes_and_comes_back(forebay: Forebay):
    plane = forebay.cluster.plane
    async with forebay.load(MODEL) as answers:
        await step(answers, plane.kill_server)
        await asyncio.sleep(3)
        plane.start_server()  # in this thread, with which it would end
        await step(answers, plane.wait)
        await step(answers, scale, forebay, 3)
        now = set(forebay.pods(LABEL))
        await eventually(lambda: now <= answers.pods.keys())

    assert [] == answers.lost


async def test_when_the_leading_controller_is_killed_another_makes_routes(forebay: Forebay):
    first = forebay.kill_leader()

    forebay.serve("late")
    assert first != forebay.leader()
    forebay.remove("late")


async def test_a_model_stays_while_one_of_its_deployments_does(forebay: Forebay):
    other = a_model("under-load-l20", 1)
    async with forebay.load(MODEL) as answers:
        await step(answers, forebay.apply, other)
        await asyncio.to_thread(forebay.rolled_out, "under-load-l20", "default")
        await step(answers, forebay.kubectl, "delete", "deployment", MODEL)
        await eventually(lambda: len(forebay.pods(LABEL)) == 1)
        assert MODEL in routes(forebay)
    assert [] == answers.lost

    forebay.kubectl("delete", "deployment", "under-load-l20")
    await eventually(lambda: MODEL not in routes(forebay))
