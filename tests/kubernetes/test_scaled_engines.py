"""Autoscalers in a whole cluster: engines that are scraped, load through Envoy, and the optimizer's plans."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.conftest import eventually
from tests.kubernetes.test_optimizer import L20, SAMPLE, V100, Installed, a_slow_engine
from tests.kubernetes.test_optimizer import MODEL as CODER
from tests.support.command import run
from tests.support.kubernetes.article import MODEL
from tests.support.kubernetes.autoscalers import ARTICLE, written
from tests.support.kubernetes.installed import NAMESPACE, Forebay

QUICK_KPA = {"kpa.autoscaling.aibrix.ai/stable-window": "6s", "kpa.autoscaling.aibrix.ai/panic-window": "2s"}
QUICK_OPTIMIZER = ("--ingest-every=1", "--decide-every=2", "--agreeing-plans=2", "--idle-after=20")
BY_RUNNING = {"targetMetric": "num_requests_running", "targetValue": "1"}


def the_articles(strategy: str, **source: str) -> dict[str, Any]:
    """The article's autoscaler; `source` are fields of its source that differ."""
    [one] = [written(path) for path in ARTICLE if path.stem == strategy]
    one["spec"]["metricsSources"][0] |= source
    return one


@pytest.fixture(scope="module")
def model(forebay: Forebay) -> Iterator[None]:
    forebay.serve(MODEL)
    yield
    forebay.remove(MODEL)


@pytest.fixture
def scaled(forebay: Forebay, model: None) -> Iterator[Forebay]:
    """The installation with the article's model, whose autoscalers go after a test."""
    yield forebay
    forebay.kubectl("delete", "podautoscaler", "--all", "--timeout=60s")
    forebay.kubectl("scale", f"deployment/{MODEL}", "--replicas=1")
    forebay.rolled_out(MODEL, "default")


def annotate(forebay: Forebay, name: str, annotations: dict[str, str]) -> None:
    words = [f"{key}={value}" for key, value in annotations.items()]
    forebay.kubectl("annotate", "--overwrite", "podautoscaler", name, *words)


async def test_the_articles_kpa_scales_up_at_once_and_down_when_its_delay_is_over(scaled: Forebay):
    one = the_articles("kpa")
    scaled.apply(one)
    async with scaled.load(MODEL) as answers:
        await eventually(lambda: scaled.replicas(MODEL) == 2)  # its activation-scale
    assert [] == answers.lost

    annotate(scaled, one["metadata"]["name"], QUICK_KPA)
    await asyncio.sleep(8.0)
    assert 2 == scaled.replicas(MODEL)  # for 30 minutes
    annotate(scaled, one["metadata"]["name"], {"kpa.autoscaling.aibrix.ai/scale-down-delay": "0s"})
    await eventually(lambda: scaled.replicas(MODEL) == 1)


async def test_the_articles_apa_follows_the_load_of_a_pod(scaled: Forebay):
    one = the_articles("apa", **BY_RUNNING)
    one["spec"]["maxReplicas"] = 3
    scaled.apply(one)
    async with scaled.load(MODEL, clients=24) as answers:
        await eventually(lambda: scaled.replicas(MODEL) == 3)
    assert [] == answers.lost

    await eventually(lambda: scaled.replicas(MODEL) == 1)


async def test_engines_that_begin_anew_are_not_idle(scaled: Forebay):
    one = the_articles("kpa", **BY_RUNNING)
    one["metadata"]["annotations"] |= QUICK_KPA | {"kpa.autoscaling.aibrix.ai/scale-down-delay": "0s"}
    one["spec"]["maxReplicas"] = 2
    scaled.apply(one)
    async with scaled.load(MODEL, clients=24):
        await eventually(lambda: scaled.replicas(MODEL) == 2)
        scaled.rolled_out(MODEL, "default")
        for process in processes(scaled):
            os.kill(process, signal.SIGKILL)
        for _ in range(24):
            assert 2 == scaled.replicas(MODEL)
            await asyncio.sleep(0.5)


def processes(forebay: Forebay) -> list[int]:
    """The engines of the article's model."""
    found = json.loads(forebay.kubectl("get", "pods", "-l", f"model.aibrix.ai/name={MODEL}", "-o", "json"))
    statuses = [one["status"]["containerStatuses"][0] for one in found["items"]]
    return [int(status["containerID"].removeprefix("process://")) for status in statuses]


@pytest.fixture
def heterogeneous(forebay: Forebay) -> Iterator[Installed]:
    """The sample with an optimizer that does not wait long; V100s are cheap, and there are two of them."""
    place = ("deployment/aibrix-gpu-optimizer", "-n", NAMESPACE)
    before = json.loads(forebay.kubectl("get", *place, "-o", "jsonpath={.spec.template.spec.containers[0].args}"))

    def with_arguments(arguments: list[str]) -> None:
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": arguments}]
        forebay.kubectl("patch", *place, "--type=json", "-p", json.dumps(patch))
        forebay.rolled_out("aibrix-gpu-optimizer")

    with_arguments([*before, *QUICK_OPTIMIZER])
    forebay.kubectl("apply", "-k", SAMPLE)
    for name in (L20, V100):
        forebay.at_most(f"podautoscaler-{name}", 2)
    forebay.kubectl("label", "deployment", V100, "model.aibrix.ai/max_replicas=2")
    forebay.answers(200, CODER)
    made = Installed(forebay)
    yield made
    forebay.kubectl("delete", "-k", SAMPLE)
    made.forget_profiles()
    with_arguments(before)


async def test_from_traffic_over_plans_to_replicas_of_both_gpu_types_and_back(
    forebay: Forebay, heterogeneous: Installed, tmp_path: Path
):
    benchmark, url = a_slow_engine(tmp_path / "result.jsonl"), f"{heterogeneous.redis()}?model={CODER}"
    for name, cost in ((L20, "10"), (V100, "1")):
        options = ("--benchmark", str(benchmark), "--cost", cost, "--ttft", "0.3", "-o", url)
        assert 0 == run("profile", name, *options).exit_code

    async with forebay.load(CODER) as answers:
        await eventually(lambda: (2, 2) == (forebay.replicas(V100), forebay.replicas(L20)))
    assert [] == answers.lost

    await eventually(lambda: (1, 0) == (forebay.replicas(V100), forebay.replicas(L20)))  # what min_replicas says
    said = forebay.kubectl("get", "podautoscaler", f"podautoscaler-{L20}", "-o", "json")
    assert "SpecMaySurprise" in said  # its delay is in a label
