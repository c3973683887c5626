"""The options of `forebay pools render`, which are Arena's, and what follows from them.

Lives here: values, and reading them.  Not here: the objects (workload, placement, routes).
"""

import re
import shlex
from dataclasses import dataclass
from typing import NamedTuple

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
DEFAULT_PORT = 8000
KSERVE_METRICS = ("cpu", "memory", "rps", "concurrency")
"""The metrics that KServe scales by itself; for others Arena makes a HorizontalPodAutoscaler of its own."""


class Place(NamedTuple):
    """The nodes of one pool: a ResourcePolicy's kind of resource, and a label of the nodes."""

    resource: str
    label: str
    value: str

    @property
    def selector(self) -> dict[str, str]:
        """The label as a selector."""
        return {self.label: self.value}


@dataclass(frozen=True, slots=True)
class Asked:
    """One model server."""

    engine: str
    name: str
    image: str
    command: str
    namespace: str = "default"
    domain: str = "example.com"
    scale_metric: str = ""
    scale_target: str = "50"
    min_replicas: int = 1
    max_replicas: int = 1
    gpus: int = 0
    cpu: str = ""
    memory: str = ""
    data: str = ""
    places: tuple[Place, ...] = ()
    is_queued: bool = False
    """Whether its pods wait in a queue of Kueue of its name."""

    @property
    def workload(self) -> str:
        """The name of the Deployment and of the Service: KServe's of a predictor, or the server's own."""
        return f"{self.name}-predictor" if self.engine == "kserve" else self.name

    @property
    def app(self) -> str:
        """The label `app` of its pods: KServe derives it from the name, which a policy must follow."""
        return f"isvc.{self.workload}" if self.engine == "kserve" else self.name

    @property
    def host(self) -> str:
        """The host name that KServe gives it."""
        return f"{self.name}-{self.namespace}.{self.domain}"

    @property
    def model(self) -> str:
        """The name that clients send: the engine's, where its command says one."""
        return self._option("--served-model-name") or self.name

    @property
    def port(self) -> int:
        """The port that its command listens on; vLLM's own if it does not say."""
        text = self._option("--port")
        return int(text) if text.isdecimal() else DEFAULT_PORT

    @property
    def model_labels(self) -> dict[str, str]:
        """The labels by which gateways find its pods (docs/contracts.md section 5), and Kueue its queue."""
        name = {"model.aibrix.ai/name": self.model} if _LABEL_VALUE.fullmatch(self.model) else {}
        queue = {"kueue.x-k8s.io/queue-name": self.name} if self.is_queued else {}
        return {**name, "model.aibrix.ai/port": str(self.port), **queue}

    @property
    def model_annotations(self) -> dict[str, str]:
        """The model's name where no label can hold it, and the Service that routes lead to."""
        name = {} if _LABEL_VALUE.fullmatch(self.model) else {"model.aibrix.ai/name": self.model}
        return {**name, "model.aibrix.ai/service-name": self.workload}

    def _option(self, name: str) -> str:
        """Return the value of an option of the command, as `--port 8080` or `--port=8080`; empty if it has none."""
        words = shlex.split(self.command)
        for word, value in zip(words, [*words[1:], ""], strict=True):
            if word == name:
                return value
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
        return ""


def read_place(text: str) -> Place:
    """Return the place that `RESOURCE:LABEL=VALUE` says.  Raises ValueError that states the rule."""
    resource, _, selector = text.partition(":")
    label, _, value = selector.partition("=")
    if not (resource and label and value):
        message = "must be RESOURCE:LABEL=VALUE, as ecs:forebay.io/pool=own"
        raise ValueError(message)
    return Place(resource, label, value)


def read_data(text: str) -> tuple[str, str]:
    """Return claim and path of `CLAIM:/path`.  Raises ValueError that states the rule."""
    claim, _, path = text.partition(":")
    if not claim or not path.startswith("/"):
        message = "must be CLAIM:/path, the name of a PersistentVolumeClaim and where it is mounted"
        raise ValueError(message)
    return claim, path
