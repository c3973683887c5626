"""The parts of the node of tests that need no server: what fits, what runs, what is filled in."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.support.kubernetes.conversation import ANY, Request
from tests.support.kubernetes.conversation import answer as an_answer
from tests.support.kubernetes.node.container import Container, command, environment, expand
from tests.support.kubernetes.node.dns import answer
from tests.support.kubernetes.node.node import Node
from tests.support.kubernetes.node.objects import Json, Pod, PodMetadata, PodSpec, PodStatus
from tests.support.kubernetes.node.probing import port_of, probe
from tests.support.kubernetes.node.sandbox import Machine
from tests.support.kubernetes.node.scheduling import Offer, amount, misfit, waits
from tests.support.kubernetes.script import a_set, talking
from tests.support.kubernetes.vllm_server import engine
from tests.support.polling import until
from tests.support.ports import free_port

OFFER = Offer("node-a", {"gpu": "h100"}, {"nvidia.com/gpu": "2", "cpu": "4"})


def a_pod(name: str = "a", node: str = "", phase: str = "Pending", select: str = "", **requests: str) -> Pod:
    asked = {resource.replace("gpu", "nvidia.com/gpu"): quantity for resource, quantity in requests.items()}
    containers = ({"name": "c", "image": "i", "resources": {"requests": asked}},)
    selector = {"gpu": select} if select else {}
    spec = PodSpec(containers, node_name=node, node_selector=selector)
    return Pod(PodMetadata(name=name, namespace="n"), spec, PodStatus(phase))


@pytest.mark.parametrize(("quantity", "number"), [("2", 2), ("250m", 0.25), ("4Gi", 4 * 2**30), ("1.5k", 1500)])
def test_quantities_are_numbers(quantity: str, number: float):
    assert number == amount(quantity)


def test_a_node_takes_what_it_has_beside_the_pods_that_run_there():
    others = [
        a_pod("b", "node-a", "Running", gpu="1"),
        a_pod("c", "node-a", "Failed", gpu="2"),
        a_pod("d", "x", gpu="2"),
    ]

    assert "" == misfit(a_pod(gpu="1", cpu="500m"), OFFER, others)
    assert "Insufficient nvidia.com/gpu" == misfit(a_pod(gpu="2"), OFFER, others)
    assert "Insufficient cpu" == misfit(a_pod(cpu="4500m"), OFFER, others)


async def test_a_pod_that_has_been_bound_meanwhile_counts_as_there(tmp_path: Path):
    """The watch has yet to tell that the first of two pods is bound, and the node has resources for one."""
    items = [msgspec.to_builtins(a_pod(name, gpu="2")) for name in ("first", "second")]
    binding = Request("POST", "/api/v1/namespaces/n/bindings?fieldManager=forebay-test", ANY, "application/json")
    taken = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "pod first is already assigned"}
    said = [*a_set("/api/v1/pods", *items), (binding, an_answer(json.dumps(taken), status=409))]
    machine = Machine("node-a", "10.244.0.1", {}, tmp_path, tmp_path)

    async with talking(said) as (client, double), httpx.AsyncClient() as http:
        node = asyncio.create_task(Node(client, http, OFFER, machine, IPv4Network("10.244.1.0/24"), backoff_s=1).run())
        await until(lambda: any("Insufficient nvidia.com/gpu" in request.body for request in double.asked))
        node.cancel()

    assert not any('"second"' in request.body for request in double.asked if request.method == "POST")


def test_a_node_has_the_labels_that_a_pod_asks_for():
    assert ("", True) == (misfit(a_pod(select="h100"), OFFER, []), bool(misfit(a_pod(select="l20"), OFFER, [])))


def test_bound_pods_and_those_of_other_schedulers_do_not_wait():
    other = Pod(spec=PodSpec(scheduler_name="other"))

    assert [True, False, False] == [waits(pod) for pod in (a_pod(), a_pod(node="node-a"), other)]


def test_programs_stand_in_for_commands_and_images():
    programs = {"python3 -m vllm": ["forebay", "engine"], "aibrix/runtime": None}
    engine: Json = {"image": "vllm", "command": ["python3", "-m", "vllm"], "args": ["--port", "8000"]}

    assert ["forebay", "engine", "--port", "8000"] == command(engine, programs)
    assert None is command({"image": "aibrix/runtime:v0.2.1", "command": ["aibrix_runtime"]}, programs)
    assert ["other", "x"] == command({"image": "i", "command": ["other"], "args": ["x"]}, programs)
    assert None is command({"image": "i"}, programs)


def test_programs_stand_in_for_images_whatever_their_registry():
    programs = {"forebay": ["forebay"]}

    assert ["forebay", "x"] == command({"image": "example.org/team/forebay:1", "args": ["x"]}, programs)
    assert None is command({"image": "example.org/forebay/other:1", "args": ["x"]}, programs)


def test_the_environment_has_fields_of_the_pod_and_names_in_each_other():
    spec: Json = {
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP):$(PORT)/$(UNKNOWN)"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        ],
    }

    made = environment({"PATH": "p"}, spec, {"status.podIP": "10.244.1.1"}, {"PORT": "8000"})

    url = "http://10.244.1.1:8000/$(UNKNOWN)"
    assert {"PATH": "p", "PORT": "8000", "IP": "10.244.1.1", "URL": url} == made
    assert "a $(b)" == expand("a $(b)", {})


def test_probes_name_ports_or_number_them():
    spec: Json = {"ports": [{"name": "http", "containerPort": 8000}]}

    assert (8000, 1) == (port_of("http", spec), port_of(1, spec))


async def test_a_process_that_fails_is_started_again_and_one_that_is_done_is_not(tmp_path: Path):
    script = f"echo x >> {tmp_path}/runs; test $(wc -l < {tmp_path}/runs) = 3"
    spec: Json = {"name": "c", "image": "i"}
    states: list[Json] = []
    container = Container(
        spec,
        ["sh", "-c", script],
        {"PATH": "/usr/bin:/bin"},
        tmp_path / "log",
        lambda: states.append(container.status()),
    )

    assert 0 == await container.run("OnFailure", backoff_s=0.01)

    assert 2 == container.restarts
    assert "Completed" == states[-1]["state"]["terminated"]["reason"]
    assert 1 == states[-1]["lastState"]["terminated"]["exitCode"]


SERVER = """
import http.server, os, pathlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path(sys.argv[2]).exists() else 503)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Probed:
    """A container whose server is well while a file exists."""

    def __init__(self, folder: Path, **probes: Json) -> None:
        self.well = folder / "well"
        port = free_port()
        target = {"httpGet": {"path": "/", "port": port}, "periodSeconds": 0.05}
        spec = {"name": "c", "image": "i", **{f"{kind}Probe": {**target, **more} for kind, more in probes.items()}}
        argv = [sys.executable, "-c", SERVER, str(port), str(self.well)]
        self.container = Container(spec, argv, dict(os.environ), folder / "log", lambda: None)
        self._probes = [f"{kind}Probe" for kind in probes]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Container]:
        async with httpx.AsyncClient(trust_env=False) as http:
            run = asyncio.create_task(self.container.run("Always", backoff_s=0.05))
            tasks = [asyncio.create_task(probe(self.container, kind, "127.0.0.1", http)) for kind in self._probes]
            yield self.container
            for task in tasks:
                task.cancel()
            self.container.end(signal.SIGKILL)
            await run


async def test_a_container_is_ready_while_its_probe_says_so(tmp_path: Path):
    probed = Probed(tmp_path, readiness={"failureThreshold": 2})
    async with probed.running() as container:
        await asyncio.sleep(0.3)
        assert not container.is_ready

        probed.well.touch()
        await until(lambda: container.is_ready)
        probed.well.unlink()
        await until(lambda: not container.is_ready)
        assert 0 == container.restarts


async def test_a_container_that_is_not_alive_is_started_again(tmp_path: Path):
    probed = Probed(tmp_path, liveness={"failureThreshold": 2, "initialDelaySeconds": 1})
    probed.well.touch()
    async with probed.running() as container:
        await until(lambda: container.is_ready)
        probed.well.unlink()

        await until(lambda: container.restarts >= 1)


async def test_a_container_has_started_when_its_startup_probe_says_so(tmp_path: Path):
    probed = Probed(tmp_path, startup={"failureThreshold": 1000}, readiness={})
    async with probed.running() as container:
        await asyncio.sleep(0.3)
        assert not container.is_started

        probed.well.touch()
        await until(lambda: container.is_started and container.is_ready)

        container.signal(signal.SIGKILL)
        await until(lambda: container.restarts == 1 and container.is_ready)


async def test_a_process_may_finish_before_it_is_killed(tmp_path: Path):
    script = (
        f"trap 'echo done > {tmp_path}/done; exit 0' TERM; echo began > {tmp_path}/began; while :; do sleep 0.05; done"
    )
    container = Container(
        {"name": "c", "image": "i"}, ["sh", "-c", script], dict(os.environ), tmp_path / "log", lambda: None
    )
    run = asyncio.create_task(container.run("Always", backoff_s=0.05))
    await until((tmp_path / "began").exists)

    container.end(signal.SIGTERM)

    assert 0 == await run
    assert (tmp_path / "done").exists()


def test_options_of_vllm_are_those_of_an_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOSTNAME", "pod-a")
    printed = (
        "--host 0.0.0.0 --port 8000 --uvicorn-log-level warning --model models/M --served-model-name m "
        "--max-model-len 12288"
    )

    made = engine(printed.split())

    want = "forebay engine --model m --name pod-a --host 0.0.0.0 --port 8000 --max-model-len 12288"
    assert want == " ".join(made)
    assert ["--model", "org/m"] == list(engine(["org/m", "--tensor-parallel-size", "2"]))[2:4]


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return b"\x12\x34\1\0\0\1" + bytes(6) + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\1"


def test_names_are_answered_with_addresses():
    def resolve(labels: tuple[str, ...]) -> list[str] | None:
        return ["10.96.0.7"] if labels == ("redis", "n") else None

    found, other, none = (answer(question(*asked), resolve) for asked in (("Redis.n",), ("redis.n", 28), ("x.n",)))

    assert bytes((10, 96, 0, 7)) == found[-4:]
    assert [(0, 1), (0, 0), (3, 0)] == [(one[3] & 15, one[7]) for one in (found, other, none)]
    assert {b"\x12\x34"} == {one[:2] for one in (found, other, none)}
