"""ModelAdapters and the pods that may load them: what is read of each, and which pods an adapter selects.

Lives here: fields and their meaning, without I/O.  Not here: where adapters go (routing.placement), what is written of
them (status, services).  The fields of ModelAdapter are AIBrix's (model.aibrix.ai/v1alpha1).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from kube.conditions import Condition, is_true
from kube.models import DEFAULT_PORT, PORT
from kube.objects import Key, Kind, Metadata, Object
from routing.placement import DEFAULT, Policy, policy_of

ENGINE = "model.aibrix.ai/engine"
FINALIZER = "adapter.model.aibrix.ai/finalizer"
SIDECARS = frozenset({"aibrix-runtime", "forebay-runtime"})
"""Names of containers that are the runtime beside an engine."""
SIDECAR_PORT = 8080
API_KEY = "api-key"
"""The key of `additionalConfig` that engines want as a bearer token."""
SCHEMES = ("huggingface://", "hf://", "s3://", "gs://", "gcs://", "tos://", "az://", "azure://", "http://", "https://")
"""Places of adapters, beside absolute paths."""
BY_ENGINE = ("huggingface://", "hf://", "/")
"""The places that an engine finds by itself; all others need the runtime beside it."""
MAX_PORT = 65535


class Requirement(msgspec.Struct, frozen=True):
    """One of `matchExpressions`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it; an operator that is not known is met by none."""
        value = labels.get(self.key)
        return {
            "In": value is not None and value in self.values,
            "NotIn": value not in self.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(self.operator, False)


class Selector(msgspec.Struct, frozen=True, rename="camel"):
    """A label selector."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects an object with these labels; an empty selector selects nothing."""
        is_empty = not self.match_labels and not self.match_expressions
        return (
            not is_empty
            and self.match_labels.items() <= labels.items()
            and all(requirement.fits(labels) for requirement in self.match_expressions)
        )


class Reference(msgspec.Struct, frozen=True):
    """The name of a Secret in the adapter's namespace."""

    name: str = ""


class AdapterSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The specification of an adapter."""

    base_model: str = ""
    pod_selector: Selector = Selector()
    scheduler_name: str = DEFAULT
    artifact_url: str = msgspec.field(name="artifactURL", default="")
    credentials_secret_ref: Reference | None = None
    replicas: int = 1
    additional_config: dict[str, str] = {}


class Failure(msgspec.Struct, frozen=True, rename="camel"):
    """Attempts on one pod that failed in a row, so that a new controller goes on waiting where the last one was."""

    pod: str
    attempts: int
    message: str
    """The engine's own words."""
    next_time: str = ""
    """RFC 3339; when the next attempt is due."""


class AdapterStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The state of an adapter, as it was written last."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    instances: tuple[str, ...] = ()
    """Names of the pods that have loaded it; gateways send its requests there and nowhere else."""
    candidates: tuple[str, ...] = ()
    """Names of the pods that it selects and that are ready."""
    desired_replicas: int = 0
    ready_replicas: int = 0
    failures: tuple[Failure, ...] = ()


class Adapter(Object, frozen=True):
    """A ModelAdapter."""

    spec: AdapterSpec = AdapterSpec()
    status: AdapterStatus | None = None

    @property
    def named_port(self) -> int | None:
        """Return the port of its engines that its label names; None = no port that there can be."""
        return _port(self.metadata)

    @property
    def age(self) -> tuple[str, Key]:
        """Return what sorts adapters, the oldest first."""
        return self.metadata.creation_timestamp or "", self.metadata.key

    @property
    def policy(self) -> Policy | None:
        """Return how its pods are chosen; None for a policy that does not exist."""
        return policy_of(self.spec.scheduler_name)

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        return self.metadata.deletion_timestamp is not None

    def invalid(self) -> str:
        """Return what of its specification cannot be used, naming the field; empty where all can."""
        url, where = self.spec.artifact_url, ", ".join(SCHEMES)
        if not url.startswith(("/", *SCHEMES)):
            return f"spec.artifactURL = {url!r}, must be an absolute path or begin with one of {where}"
        if self.policy is None:
            names = ", ".join((DEFAULT, *Policy))
            return f"spec.schedulerName = {self.spec.scheduler_name!r}, must be one of {names}"
        if self.spec.pod_selector == Selector():
            return "spec.podSelector selects nothing, must have matchLabels or matchExpressions"
        return ""


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port that a container names."""

    container_port: int


class Container(msgspec.Struct, frozen=True):
    """A container of a pod."""

    name: str = ""
    ports: tuple[ContainerPort, ...] = ()


class PodSpec(msgspec.Struct, frozen=True):
    """The containers of a pod."""

    containers: tuple[Container, ...] = ()

    @property
    def sidecar_port(self) -> int | None:
        """Return the port of the runtime beside the engine; None where there is none."""
        for container in self.containers:
            if container.name in SIDECARS:
                return container.ports[0].container_port if container.ports else SIDECAR_PORT
        return None


class PodCondition(msgspec.Struct, frozen=True):
    """A condition of a pod."""

    type: str
    status: str


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How often a container was started again: an engine that was has lost its adapters."""

    restart_count: int = 0


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The address of a pod, and whether it is ready."""

    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True):
    """A pod that may have an engine."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_usable(self) -> bool:
        """Whether adapters may be loaded on it."""
        ready = any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)
        return ready and bool(self.status.pod_ip) and self.metadata.deletion_timestamp is None


ADAPTERS = Kind("model.aibrix.ai", "v1alpha1", "ModelAdapter", "modeladapters", Adapter)
PODS = Kind("", "v1", "Pod", "pods", Pod)


class Host(NamedTuple):
    """An engine that adapters are loaded on, as it is asked."""

    key: Key
    uid: str
    ip: str
    port: int
    sidecar_port: int | None
    engine: str  # vllm, sglang, or empty
    restarts: int

    @property
    def name(self) -> str:
        """Return the name of the pod."""
        return self.key.partition("/")[2]


class Claim(NamedTuple):
    """The port of an engine whose pod does not name it."""

    adapter: str
    """The name of the adapter that does."""
    port: int


NO_CLAIMS: Mapping[Key, Claim] = MappingProxyType({})


def claims_of(adapters: Mapping[Key, Adapter], chosen: Mapping[Key, Sequence[Pod]]) -> dict[Key, Claim]:
    """Return, by key of the pod, the port that the oldest of the adapters that have `chosen` it names.

    An engine has one port: gateways send to one, and two would be two lists of adapters for one pod.
    """
    claims: dict[Key, Claim] = {}
    for key, adapter in sorted(adapters.items(), key=lambda each: each[1].age):
        if (port := adapter.named_port) is not None and not adapter.invalid():
            for pod in chosen[key]:
                if _port(pod.metadata) is None:
                    claims.setdefault(pod.metadata.key, Claim(adapter.metadata.name, port))
    return claims


def host_of(pod: Pod, claims: Mapping[Key, Claim] = NO_CLAIMS) -> Host:
    """Return the engine of a usable pod: its own label names the port, else an adapter's."""
    claim = claims.get(pod.metadata.key)
    return Host(
        pod.metadata.key,
        pod.metadata.uid,
        pod.status.pod_ip,
        _port(pod.metadata) or (claim.port if claim else DEFAULT_PORT),
        pod.spec.sidecar_port,
        pod.metadata.labels.get(ENGINE, ""),
        sum(status.restart_count for status in pod.status.container_statuses),
    )


def selected(adapter: Adapter, pods: Mapping[Key, Pod]) -> list[Pod]:
    """Return the usable pods that an adapter selects, in the order of their names."""
    meta, selector = adapter.metadata, adapter.spec.pod_selector
    return [
        pod
        for _, pod in sorted(pods.items())
        if pod.metadata.namespace == meta.namespace and pod.is_usable and selector.selects(pod.metadata.labels)
    ]


def is_ready(adapter: Adapter) -> bool:
    """Whether its status says that requests are answered."""
    return adapter.status is not None and is_true(adapter.status.conditions, "Ready")


def _port(meta: Metadata) -> int | None:
    text = meta.labels.get(PORT, "")
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_PORT else None
