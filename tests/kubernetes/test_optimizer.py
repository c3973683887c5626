"""The optimizer in a cluster: one model on two types of GPUs, load through Envoy, and an API server that goes away."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from kube.client import Client
from kube.objects import Kind, Object
from optimizer.profiling.points import Load, lines_of
from tests.kubernetes.conftest import eventually
from tests.support.command import run
from tests.support.kubernetes.article import deployment
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.installed import NAMESPACE, Forebay
from tests.support.measured import a_point
from tests.support.optimizer import QUICK, Optimizer, a_profile, a_window, optimizer, write_traffic
from tests.support.redis import redis_server

MODEL, V100, L20 = "deepseek-coder-7b", "deepseek-coder-7b-v100", "deepseek-coder-7b-l20"
SAMPLE = "samples/heterogeneous"
MINIMUM = "model.aibrix.ai/min_replicas"
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments", Object)


class Installed:
    """The optimizer of an installation, as its Service shows it."""

    def __init__(self, forebay: Forebay) -> None:
        self.kubectl, self.eventually, self.load = forebay.kubectl, forebay.eventually, forebay.load
        self._url = f"http://{self.address('aibrix-gpu-optimizer')}:8080"

    def address(self, service: str) -> str:
        """The cluster IP of a Service of the installation."""
        return self.kubectl("get", "svc", service, "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self._url}{path}", headers={"accept": "application/json"}, trust_env=False, timeout=30)

    def published(self, name: str) -> float:
        """The replicas that an autoscaler reads."""
        page = self.get(f"/metrics/default/{name}").text
        [value] = re.findall(rf'^vllm:deployment_replicas\{{model_name="{MODEL}"\}} (\S+)$', page, re.MULTILINE)
        return float(value) / 100

    def explained(self) -> dict[str, Any]:
        return dict(self.get(f"/explain/{MODEL}").json())

    def forget_profiles(self) -> None:
        """Leave no slow engines to the tests that follow."""
        with Redis.from_url(self.redis()) as redis:
            redis.delete(*(f"aibrix:profile_{MODEL}_{name}" for name in (V100, L20)))

    def redis(self) -> str:
        """The URL of Redis."""
        secret = json.loads(self.kubectl("get", "secret", "aibrix-secrets", "-n", NAMESPACE, "-o", "json"))
        password = base64.b64decode(secret["data"]["redis-password"]).decode()
        return f"redis://:{password}@{self.address('aibrix-redis-master')}:6379/"


@pytest.fixture(scope="module")
def home(forebay: Forebay) -> Iterator[Installed]:
    """An installation with the sample."""
    forebay.kubectl("apply", "-k", SAMPLE)
    for name in (L20, V100):
        forebay.at_most(f"podautoscaler-{name}", 2)
        forebay.rolled_out(name, "default")
    forebay.answers(200, MODEL)
    made = Installed(forebay)
    yield made
    forebay.kubectl("delete", "-k", SAMPLE)
    made.forget_profiles()


def test_what_runs_is_kept_until_there_is_something_to_plan_by(home: Installed):
    home.eventually(lambda: "default" in str(home.explained()["deployments"]))

    explained = home.explained()

    assert {f"default/{L20}", f"default/{V100}"} == explained["deployments"].keys()
    assert [1, 1] == [home.published(name) for name in (L20, V100)]
    assert 404 == home.get("/metrics/default/nothing").status_code


def test_a_minimum_that_changes_is_followed(home: Installed):
    def minimum(name: str) -> int:
        return int(home.explained()["deployments"][f"default/{name}"]["min_replicas"])

    assert [0, 1] == [minimum(name) for name in (L20, V100)]

    for wanted in (2, 1):
        home.kubectl("label", "deployment", V100, f"{MINIMUM}={wanted}", "--overwrite")
        home.eventually(lambda wanted=wanted: minimum(V100) == wanted)


def a_slow_engine(file: Path) -> Path:
    """The results of a benchmark of an engine that serves one request per second, whatever its length."""
    loads = [Load(into, out, rate) for into in (4, 4096) for out in (4, 4096) for rate in (1.0, 2.0)]
    file.write_text("".join(lines_of(a_point(load, tput=1.0), {}) for load in loads))
    return file


async def test_load_through_envoy_changes_what_autoscalers_read(home: Installed, tmp_path: Path):
    benchmark, url = a_slow_engine(tmp_path / "result.jsonl"), f"{home.redis()}?model={MODEL}"
    for name, cost in ((L20, "10"), (V100, "1")):
        options = ("--benchmark", str(benchmark), "--cost", cost, "--ttft", "0.3", "-o", url)
        assert 0 == run("profile", name, *options).exit_code

    async with home.load(MODEL) as answers:
        await eventually(lambda: home.published(V100) > 2)

    assert [] == answers.lost
    assert 1 == home.published(L20)
    explained = home.explained()
    assert f"key aibrix:profile_{MODEL}_{V100}" == explained["deployments"][f"default/{V100}"]["profile"]
    with Redis.from_url(home.redis()) as redis:
        assert {*json.loads(redis.get(f"aibrix:gpu_plan_{MODEL}") or "{}")["replicas"]} == {L20, V100}


async def test_while_the_api_server_is_away_answers_go_on_from_memory(
    plane: ControlPlane, client: Client, tmp_path: Path
):
    for name in ("m-l20", "m-v100"):
        await client.create(DEPLOYMENTS, deployment("m", name))
    with redis_server() as redis:
        options = (*QUICK, "--kubernetes", f"--kubeconfig={plane.kubeconfig}")
        with optimizer(redis.url, None, tmp_path / "log", *options) as running:
            await eventually(lambda: has_missing(running, "profiles of default/m-l20, default/m-v100"))
            assert (1, 1) == await running.replicas("m-l20", "m-v100")

            plane.kill_server()
            await eventually(lambda: has_missing(running, "deployments may be out of date"))
            profile = a_profile("m-v100", 1.0, [[1.0, 1.0], [1.0, 1.0]])
            redis.own_client.set("aibrix:profile_m_m-v100", profile)
            await write_traffic(redis.url, "m", [a_window(4.0, {(128, 32): 1.0})] * 6)
            await eventually(lambda: wants(running, "m-v100", 6))
            assert await running.is_ready()  # or its Service would hide it

            plane.start_server()
            await asyncio.to_thread(plane.wait)
            await client.merge(DEPLOYMENTS, "m-v100", "default", {"metadata": {"labels": {MINIMUM: "3"}}})
            await eventually(lambda: has_minimum(running, "default/m-v100", 3))


async def has_missing(running: Optimizer, beginning: str) -> bool:
    return any(line.startswith(beginning) for line in (await explained(running)).get("missing", []))


async def has_minimum(running: Optimizer, key: str, wanted: int) -> bool:
    return (await explained(running))["deployments"][key]["min_replicas"] == wanted


async def wants(running: Optimizer, name: str, replicas: int) -> bool:
    return await running.replicas(name) == (replicas,)


async def explained(running: Optimizer) -> dict[str, Any]:
    """The explanation of the model `m`, empty until somebody answers."""
    try:
        return await running.explained("m")
    except httpx.HTTPError:
        return {}
