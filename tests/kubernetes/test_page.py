"""The page about Kubernetes and the samples, tried as printed on a whole cluster with overlay `dev`."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.kubernetes.conftest import PROGRAMS
from tests.support.kubernetes.article import chat
from tests.support.kubernetes.installed import Forebay
from tests.support.source_tree import ROOT

COMMANDS = ("kubectl ", "curl ", "NODE=", "GATEWAY=", "TOKEN=")


def printed(section: str) -> str:
    """The commands that the page has under a heading: its indented blocks that begin with one."""
    text = (ROOT / "docs" / "kubernetes.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    return "".join(block for block in blocks if block.strip().startswith(COMMANDS))


@pytest.fixture(scope="module")
def home(forebay: Forebay) -> Iterator[Forebay]:
    yield forebay
    for sample in ("simulated", "heterogeneous"):
        forebay.kubectl("delete", "-k", f"samples/{sample}", "--ignore-not-found")


def typed(home: Forebay, commands: str) -> str:
    """Run commands in a shell at the top of the repository; return all that they print."""
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "KUBECONFIG": str(home.cluster.plane.kubeconfig),
        "no_proxy": "*",
    }
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_its_commands_lead_from_a_model_to_a_limited_request(home: Forebay):
    listed = typed(home, printed("A model"))
    assert "deployment.apps/demo created" in listed
    home.answers(200, "demo")

    said = typed(home, printed("Users and requests"))

    assert "Created User: lgy" in said or "User: lgy exists" in said
    for header in ("HTTP/1.1 200 OK", "target-pod: demo-", "x-update-rpm: "):
        assert f"< {header}" in said
    assert "demo-router" in typed(home, "kubectl -n aibrix-system get httproute")


def test_the_heterogeneous_sample_is_one_model_on_two_types_of_gpus(home: Forebay):
    typed(home, "kubectl apply -f samples/heterogeneous")
    for name in ("v100", "l20"):
        home.at_most(f"podautoscaler-deepseek-coder-7b-{name}", 1)  # whatever the optimizer remembers of other tests
        home.rolled_out(f"deepseek-coder-7b-{name}", "default")

    assert "8000:30081/TCP" in typed(home, "kubectl get svc deepseek-coder-7b")

    def states() -> set[str]:
        listed = typed(home, "kubectl get pods -l model.aibrix.ai/name=deepseek-coder-7b")
        return {" ".join(line.split()[1:3]) for line in listed.splitlines()[1:]}

    home.eventually(lambda: states() == {"2/2 Running"})  # those of other tests may still be ending
    home.answers(200, "deepseek-coder-7b")
    body = chat("deepseek-coder-7b", max_tokens=2)
    pods = {home.ask(body=body, routing_strategy="random").headers["target-pod"] for _ in range(30)}
    assert {"v100", "l20"} == {pod.split("-")[3] for pod in pods}
