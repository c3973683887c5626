"""Replicas that sleep instead of ending, on a cluster: the runtime says so, and gateways send them nothing."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from tests.kubernetes.conftest import eventually
from tests.support.kubernetes.article import MODEL as ARTICLE
from tests.support.kubernetes.article import SAMPLES, service
from tests.support.kubernetes.autoscalers import an_autoscaler
from tests.support.kubernetes.installed import Forebay

MODEL = "sleeper"
QUICK = {
    "kpa.autoscaling.aibrix.ai/stable-window": "4s",
    "kpa.autoscaling.aibrix.ai/panic-window": "2s",
    "kpa.autoscaling.aibrix.ai/scale-down-delay": "0s",
    "autoscaling.forebay.io/keep-asleep": "1",
}


def with_runtime() -> dict[str, Any]:
    """The article's Deployment with the runtime beside its engine, whose probe is quick, and patient with a machine."""
    made: dict[str, Any] = next(yaml.safe_load_all((SAMPLES / "model.yaml").read_text().replace(ARTICLE, MODEL)))
    runtime = made["spec"]["template"]["spec"]["containers"][1]
    runtime["readinessProbe"] |= {"initialDelaySeconds": 0, "periodSeconds": 1, "timeoutSeconds": 10}
    return made


@pytest.fixture(scope="module")
def scaled(forebay: Forebay) -> Iterator[Forebay]:
    """The model with an autoscaler that wants a replica for each request that runs."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": MODEL}
    source = {"targetMetric": "num_requests_running", "targetValue": "1"}
    autoscaler = an_autoscaler(MODEL, scaleTargetRef=target, minReplicas=1, maxReplicas=2, scalingStrategy="KPA")
    autoscaler["spec"]["metricsSources"][0] |= source
    autoscaler["metadata"]["annotations"] = QUICK
    forebay.apply(with_runtime(), service(MODEL), autoscaler)
    forebay.answers(200, MODEL)
    yield forebay
    forebay.kubectl("delete", "podautoscaler", MODEL, "--timeout=60s")
    forebay.remove(MODEL)


def phases(forebay: Forebay) -> dict[str, str]:
    """The phase of each pod's engine, as its runtime says it."""
    found = json.loads(forebay.kubectl("get", "pods", "-l", f"model.aibrix.ai/name={MODEL}", "-o", "json"))["items"]
    addresses = {pod["metadata"]["name"]: pod["status"].get("podIP") for pod in found}
    return {name: phase(address) for name, address in addresses.items() if address}


def phase(address: str) -> str:
    try:
        answer = httpx.get(f"http://{address}:8080/v1/runtime/models", trust_env=False, timeout=10)
        return str(answer.json()["models"][0]["phase"])
    except (httpx.HTTPError, KeyError):
        return ""


async def test_a_replica_that_is_not_wanted_sleeps_in_its_place_and_is_woken_for_load(scaled: Forebay):
    async with scaled.load(MODEL, clients=12) as answers:
        await scaled_to(scaled, ["active", "active"])
    pods = phases(scaled).keys()
    await scaled_to(scaled, ["active", "sleeping"])
    assert 2 == scaled.replicas(MODEL)

    async with scaled.load(MODEL, clients=12) as more:
        await scaled_to(scaled, ["active", "active"])
    assert ([], []) == (answers.lost, more.lost)
    assert pods == phases(scaled).keys()


async def scaled_to(forebay: Forebay, wanted: list[str]) -> None:
    await eventually(lambda: sorted(phases(forebay).values()) == wanted)
