"""The parts of the node of tests that need no server: what fits, what runs, what is filled in."""

from pathlib import Path

import pytest

from tests.support.kubernetes.node.container import Container, command, environment, expand
from tests.support.kubernetes.node.objects import Json, Pod, PodMetadata, PodSpec, PodStatus
from tests.support.kubernetes.node.probing import port_of
from tests.support.kubernetes.node.scheduling import Offer, amount, misfit, waits

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


def test_the_environment_has_fields_of_the_pod_and_names_in_each_other():
    spec: Json = {
        "ports": [{"containerPort": 8000}],
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP):$(PORT)/$(UNKNOWN)"},
        ],
    }

    made = environment(a_pod(), spec, {"status.podIP": "10.244.1.1"})

    assert "http://10.244.1.1:8000/$(UNKNOWN)" == made["URL"]
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
