"""The ground on which a pod's containers run: network, files, environment, and the programs in place of images.

Lives here: putting them together to commands.  Not here: each of them (network, volumes, confine), processes
(container).
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kube.client import Client
from tests.support.kubernetes.node import confine
from tests.support.kubernetes.node.container import Container, Programs, command, environment
from tests.support.kubernetes.node.network import Network, join
from tests.support.kubernetes.node.objects import Json, Pod
from tests.support.kubernetes.node.services import SERVER
from tests.support.kubernetes.node.volumes import Volumes, resolver

HOST_NAME_LENGTH = 63
API_SERVER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
"""The variables by which pods find the API server."""


class Machine(NamedTuple):
    """A node, as far as all its pods share it."""

    name: str
    ip: str
    programs: Programs
    binaries: Path  # before all other directories of PATH
    state: Path  # logs and volumes

    def environment(self) -> dict[str, str]:
        """Return what every container's environment has."""
        path = ":".join((str(self.binaries), str(Path(sys.executable).parent), os.environ["PATH"]))
        return {"PATH": path, "HOME": "/", "LANG": "C.UTF-8", **API_SERVER}


@dataclass
class Sandbox:
    """The ground of one pod; `open` it, make containers, and `close` it."""

    client: Client
    pod: Pod
    ip: str
    machine: Machine
    _network: Network | None = None

    def __post_init__(self) -> None:
        meta = self.pod.metadata
        self._directory = self.machine.state / "pods" / meta.uid
        volumes = self._directory / "volumes"
        self._volumes = Volumes(self.client, self.pod, self._fields(), volumes, self.machine.state / "claims")

    def _fields(self) -> Mapping[str, str]:
        """Return the fields of the pod that variables and volumes may name."""
        meta, spec = self.pod.metadata, self.pod.spec
        named = {
            "metadata.name": meta.name, "metadata.namespace": meta.namespace, "metadata.uid": meta.uid,
            "status.podIP": self.ip, "status.podIPs": self.ip, "status.hostIP": self.machine.ip,
            "spec.nodeName": self.machine.name, "spec.serviceAccountName": spec.service_account_name,
        }  # fmt: skip
        for kind, pairs in (("labels", meta.labels), ("annotations", meta.annotations)):
            named |= {f"metadata.{kind}['{name}']": value for name, value in pairs.items()}
            named[f"metadata.{kind}"] = "".join(f"{name}={json.dumps(value)}\n" for name, value in pairs.items())
        return named

    async def open(self) -> None:
        """Make network and files.  Raises Missing, ApiError or OSError: then it may be tried again."""
        if self._network is None:
            self._network = await join(self.ip)
        await self._volumes.make()

    async def close(self) -> None:
        """Let the network go."""
        if self._network is not None:
            await self._network.close()

    async def container(self, spec: Json, changed: Callable[[], None]) -> Container:
        """Make a container.  Raises Missing where its environment names what is not there."""
        assert self._network is not None
        meta, machine = self.pod.metadata, self.machine
        variables = await self._volumes.variables(spec)
        made = {"HOSTNAME": meta.name[:HOST_NAME_LENGTH]} | environment(
            machine.environment(), spec, self._fields(), variables
        )
        log = machine.state / f"{meta.namespace}_{meta.name}_{spec['name']}.log"
        enter = (*self._network.enter, *self._confined(spec))
        return Container(spec, command(spec, machine.programs), made, log, changed, enter=enter)

    def _confined(self, spec: Json) -> Sequence[str]:
        """Return the beginning of a command that sees the container's files."""
        root = self._directory / spec["name"]
        root.mkdir(parents=True, exist_ok=True)
        names = resolver(self.machine.state, self.pod.metadata.namespace, SERVER)
        files = confine.Files(
            str(root),
            [*self._volumes.mounts(spec), names],
            [str(Path.cwd()), str(self.machine.binaries)],
            bool(spec.get("securityContext", {}).get("readOnlyRootFilesystem")),
            spec.get("workingDir", str(Path.cwd())),
        )
        return (sys.executable, "-I", "-S", confine.__file__, json.dumps(files))
