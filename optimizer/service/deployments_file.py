"""The file of deployments: which replicas there may be of which model, where no cluster says so.

    deployments:
      - {name: chat-l20, model: chat, namespace: default, replicas: 1, ready: 1, min_replicas: 0,
         min_replicas_policy: idle, max_replicas: 4, gpu: L20, pool: "", pool_priority: 0, spot: false, cost: 1.0,
         profile: profiles/l20.json, gpus_per_replica: 1, preemption: 0, domain: ""}

Lives here: keys and rules.  Not here: watching the file (sources), reading YAML (documents).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.input.reading import InputError
from optimizer.planning.deployments import Deployment
from optimizer.service.documents import Document, read_yaml

Name = Annotated[str, Field(min_length=1, pattern=r"^[^/\s]+$")]
"""A name that stands between the slashes of a URL."""
Count = Annotated[int, Field(ge=0, le=1_000_000)]
MODEL_NAME = Field(min_length=1, max_length=512)


class DeploymentEntry(Document):
    """One deployment; all but `name` and `model` may be left out."""

    name: Name
    model: Annotated[str, MODEL_NAME]
    namespace: Name = "default"
    replicas: Count = 0
    ready: Count | None = None
    """Left out, all replicas are ready."""
    min_replicas: Count = 0
    min_replicas_policy: Literal["idle", "always"] = "idle"
    max_replicas: Count | None = None
    gpu: str = ""
    pool: str = ""
    pool_priority: int = 0
    spot: bool = False
    cost: Annotated[float, Field(gt=0)] | None = None
    profile: str = ""
    gpus_per_replica: Count = 1
    preemption: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    domain: str = ""

    @model_validator(mode="after")
    def _bounds(self) -> "DeploymentEntry":
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            message = f"must be at most max_replicas = {self.max_replicas}: min_replicas = {self.min_replicas}"
            raise ValueError(message)
        return self

    def deployment(self) -> Deployment:
        """Return the value."""
        return Deployment(
            self.namespace, self.name, self.model, self.replicas,
            self.replicas if self.ready is None else self.ready,
            self.min_replicas, self.min_replicas_policy == "always", self.max_replicas,
            self.gpu, self.pool, self.pool_priority, self.spot, self.cost, self.profile,
            self.gpus_per_replica, self.preemption, self.domain,
        )  # fmt: skip


class DeploymentsDocument(Document):
    """The whole file."""

    deployments: list[DeploymentEntry]


def parse_deployments(text: str | bytes) -> tuple[Deployment, ...]:
    """Return the deployments of a file's text.  Raises InputError with all that is wrong."""
    found = tuple(entry.deployment() for entry in read_yaml(text, DeploymentsDocument).deployments)
    keys = [each.key for each in found]
    if repeated := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise InputError([f"{key}: is there {keys.count(key)} times" for key in repeated])
    return found
