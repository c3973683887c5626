"""The fleet that the pods of a Kubernetes cluster are: labels, annotations and status, made into a description.

Lives here: what is read of pods, nodes and workloads, and what it means, without I/O.  Not here: following them
(kubernetes), what is made of the description (gateway.fleet).  The labels are those of docs/contracts.md, section 5.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec
import structlog

from gateway.config.addresses import MAX_PORT
from gateway.config.pools import MAX_PRIORITY
from gateway.config.prices import HIGHEST_PRICE
from gateway.discovery.description import FleetDescription, ModelPolicy
from kube.models import (
    DEFAULT_PORT,
    GPU,
    GPU_PRODUCT,
    MODEL,
    POOL,
    POOL_PRIORITY,
    PORT,
    Container,
    asked_gpu,
    model_of,
    owner_of,
)
from kube.objects import Key, Kind, Metadata, Object
from ratelimit.limits import MAX_LIMIT
from ratelimit.prices import prices_of
from routing.mixture import parse_mixture
from routing.types import Endpoint

METRIC_PORT, ENGINE, CONFIG = (f"model.aibrix.ai/{name}" for name in ("metric-port", "engine", "config"))
RAY_NODE = "ray.io/node-type"
ENGINES = frozenset({"vllm", "sglang", "trtllm"})
QUOTED = 80
"""Characters of a word of an annotation, which may have 256 KiB, that the log quotes (chosen)."""

log = structlog.get_logger(__name__)


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The place of a pod, and its containers."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()


class PodCondition(msgspec.Struct, frozen=True):
    """A condition of a pod."""

    type: str
    status: str


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The address of a pod, and whether it is ready."""

    phase: str = ""
    ip: str = msgspec.field(name="podIP", default="")
    conditions: tuple[PodCondition, ...] = ()


class Pod(Object, frozen=True):
    """A pod that serves a model."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


PODS = Kind("", "v1", "Pod", "pods", Pod)
NODES = Kind("", "v1", "Node", "nodes", Object)
WORKLOADS = (
    Kind("apps", "v1", "Deployment", "deployments", Object),
    Kind("apps", "v1", "StatefulSet", "statefulsets", Object),
)
"""Owners of pods whose label makes a model known while it has no pod, and gives a port that its pods do not name."""


class AdapterPods(msgspec.Struct, frozen=True, rename="camel"):
    """The labels of the pods that may load a LoRA adapter."""

    match_labels: dict[str, str] = {}


class AdapterSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The model that a LoRA adapter is for."""

    base_model: str = ""
    pod_selector: AdapterPods = AdapterPods()


class AdapterStatus(msgspec.Struct, frozen=True):
    """The names of the pods that have loaded the adapter, in its own namespace."""

    instances: tuple[str, ...] | None = None


class Adapter(Object, frozen=True):
    """A LoRA adapter, which is a model of its name on the pods that have loaded it."""

    spec: AdapterSpec = AdapterSpec()
    status: AdapterStatus = AdapterStatus()


ADAPTERS = Kind("model.aibrix.ai", "v1alpha1", "ModelAdapter", "modeladapters", Adapter)


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """How requests for a model are treated, by one name; other members of it are others'."""

    routing_strategy: str = ""
    requests_per_second: Annotated[int, msgspec.Meta(ge=0, le=MAX_LIMIT)] = 0  # 0: unlimited


Price = Annotated[float, msgspec.Meta(ge=0, le=HIGHEST_PRICE)]


class ModelPrices(msgspec.Struct, frozen=True, rename="camel"):
    """The prices of a million tokens."""

    input: Price = 0.0
    output: Price = 0.0
    cached_input: Price | None = None


class Profiles(msgspec.Struct, frozen=True, rename="camel"):
    """The annotation CONFIG of a pod or workload."""

    locked_routing_strategy: str = ""
    default_profile: str = ""
    profiles: dict[str, Profile] = {}
    scales_from_zero: bool = False
    waits_for_adapters: bool = False
    prices: ModelPrices = ModelPrices()


class Pool(NamedTuple):
    """Pods of a namespace with certain labels, each of which serves on all of these ports."""

    namespace: str
    labels: Mapping[str, str]
    ports: tuple[int, ...]

    def has(self, pod: Metadata) -> bool:
        """Return whether the pod is one of the pool's."""
        return pod.namespace == self.namespace and self.labels.items() <= pod.labels.items()


class Cluster(NamedTuple):
    """The objects of a cluster that make a fleet; workloads by kind and key, since two kinds may share a name."""

    pods: Mapping[Key, Pod]
    nodes: Mapping[Key, Object]
    workloads: Mapping[tuple[str, Key], Object]
    adapters: Mapping[Key, Adapter] = MappingProxyType({})
    pools: tuple[Pool, ...] | None = None  # None: pods with the label of a model are the fleet, else those of pools


_Entry = tuple[Pod, Object | None, Object | None, tuple[int, ...] | None, Sequence[str], Sequence[Endpoint]]
"""A pod, its node, workload, ports and adapters, and the endpoints that they make."""


class Fleet:
    """Describes clusters, one after the other; costs about a microsecond per pod that did not change."""

    def __init__(self, strategies: Collection[str]) -> None:
        self._strategies = strategies
        self._known: dict[Key, _Entry] = {}
        self._policies: dict[str, ModelPolicy] = {}  # by annotation, those in use

    def describe(self, cluster: Cluster) -> FleetDescription:
        """Return the fleet that the cluster is now."""
        known: dict[Key, _Entry] = {}
        endpoints: dict[str, Endpoint] = {}
        loaded = _loaded(cluster.adapters)
        for key, pod in cluster.pods.items():
            entry = known[key] = self._entry(key, pod, cluster, loaded.get(key, []))
            for endpoint in entry[-1]:
                rival = endpoints.get(endpoint.address)
                if rival is None or (rival.started_at or 0) <= (endpoint.started_at or 0):
                    endpoints[endpoint.address] = endpoint  # an address is handed on when its pod has ended
        self._known = known
        models = self._models(cluster)
        adapters = {one.metadata.name: one for one in cluster.adapters.values() if one.metadata.name not in models}
        bases = {name: _base_of(one, cluster.pods) for name, one in adapters.items()}
        policies = {name: _policy_of(one, models.get(bases[name], ModelPolicy())) for name, one in adapters.items()}
        bases = {name: base for name, base in bases.items() if base in models}
        return FleetDescription({**models, **policies}, tuple(endpoints.values()), adapters=bases)

    def _entry(self, key: Key, pod: Pod, cluster: Cluster, adapters: Sequence[str]) -> _Entry:
        node = cluster.nodes.get(pod.spec.node_name)
        kind, name = owner_of(pod.metadata)
        workload = cluster.workloads.get((kind, f"{pod.metadata.namespace}/{name}"))
        ports = None if cluster.pools is None else _ports(pod.metadata, cluster.pools)
        before = self._known.get(key)
        if before is not None and before[0] is pod and before[1:5] == (node, workload, ports, adapters):
            return before
        endpoint = endpoint_of(pod, node, workload)
        if endpoint is None or (ports is None and not endpoint.models):
            return pod, node, workload, ports, adapters, ()
        if endpoint.models:  # else its engine is asked for all its models
            endpoint = replace(endpoint, models=tuple(dict.fromkeys((*endpoint.models, *adapters))))
        return pod, node, workload, ports, adapters, (endpoint,) if ports is None else _at_ports(endpoint, ports)

    def _models(self, cluster: Cluster) -> dict[str, ModelPolicy]:
        """Return policies of base models; the newest pod's annotation counts, so that a rolling update takes hold."""
        newest: dict[str, tuple[str, str]] = {}
        in_fleet = [pod for key, pod in cluster.pods.items() if cluster.pools is None or self._known[key][3]]
        for one in (*cluster.workloads.values(), *in_fleet):
            model, config = model_of(one.metadata), one.metadata.annotations.get(CONFIG, "")
            since = ((one.metadata.creation_timestamp or "") if config else "", config)
            if model and since >= newest.get(model, ("", "")):
                newest[model] = since
        models = {config: model for model, (_, config) in newest.items()}
        self._policies = {
            config: self._policies.get(config) or policy_of(model, config, self._strategies)
            for config, model in models.items()
        }
        return {model: self._policies[config] for model, (_, config) in newest.items()}


def _policy_of(adapter: Adapter, base: ModelPolicy) -> ModelPolicy:
    """Return the policy of an adapter; nobody waits for one that is about to go."""
    is_going = adapter.metadata.deletion_timestamp is not None
    return replace(base, scales_from_zero=False) if is_going else base.of_adapter()


def _base_of(adapter: Adapter, pods: Mapping[Key, Pod]) -> str:
    """Return the model of a pod that has the adapter, else the base model that it names."""
    loaded = (pods.get(f"{adapter.metadata.namespace}/{name}") for name in adapter.status.instances or ())
    models = (model_of(pod.metadata) for pod in loaded if pod is not None)
    spec = adapter.spec
    return next(filter(None, models), spec.base_model or spec.pod_selector.match_labels.get(MODEL, ""))


def _loaded(adapters: Mapping[Key, Adapter]) -> dict[Key, list[str]]:
    """Return the adapters that each pod has loaded, less those that are about to go."""
    loaded: dict[Key, list[str]] = {}
    for one in adapters.values():
        for name in one.status.instances or () if one.metadata.deletion_timestamp is None else ():
            loaded.setdefault(f"{one.metadata.namespace}/{name}", []).append(one.metadata.name)
    return {pod: sorted(set(names)) for pod, names in loaded.items()}


def endpoint_of(pod: Pod, node: Object | None, workload: Object | None) -> Endpoint | None:
    """Return the endpoint that the pod is; None where it is none: without address, over, or a worker of Ray's.

    Where nothing names a model it has none.
    """
    meta, labels = pod.metadata, pod.metadata.labels
    is_over = pod.status.phase in {"Succeeded", "Failed"}
    if not pod.status.ip or is_over or labels.get(RAY_NODE) == "worker":
        return None
    workload_labels, node_labels = (one.metadata.labels if one else {} for one in (workload, node))
    host = f"[{pod.status.ip}]" if ":" in pod.status.ip else pod.status.ip
    engine, metric_port = labels.get(ENGINE, "vllm"), _port(labels.get(METRIC_PORT))
    return Endpoint(
        id=meta.key,
        name=meta.name,
        address=f"{host}:{_port(labels.get(PORT)) or _port(workload_labels.get(PORT)) or DEFAULT_PORT}",
        models=(model,) if (model := model_of(meta)) else (),
        engine=engine if engine in ENGINES else "other",
        deployment=owner_of(meta)[1],
        gpu_type=labels.get(GPU)
        or node_labels.get(GPU)
        or node_labels.get(GPU_PRODUCT)
        or asked_gpu(pod.spec.containers),
        pool=labels.get(POOL) or node_labels.get(POOL, ""),
        pool_priority=_priority(labels.get(POOL_PRIORITY) or node_labels.get(POOL_PRIORITY, "")),
        node=pod.spec.node_name,
        ready=any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions),
        draining=meta.deletion_timestamp is not None,
        started_at=_seconds(meta.creation_timestamp),
        metrics=f"{host}:{metric_port}" if metric_port else "",
        labels=labels,
    )


def _ports(pod: Metadata, pools: Iterable[Pool]) -> tuple[int, ...]:
    """Return the ports of all pools that have the pod, each once."""
    return tuple(dict.fromkeys(port for pool in pools if pool.has(pod) for port in pool.ports))


def _at_ports(endpoint: Endpoint, ports: Sequence[int]) -> Sequence[Endpoint]:
    """Return an endpoint for each port of the pod: an engine of its own, as with data parallelism."""
    host = endpoint.address.rpartition(":")[0]
    at = [replace(endpoint, address=f"{host}:{port}") for port in ports]
    if len(ports) == 1:
        return at
    return [
        replace(one, id=f"{one.id}:{port}", name=f"{one.name}-rank-{rank}", metrics="")
        for rank, (one, port) in enumerate(zip(at, ports, strict=True))
    ]


def policy_of(model: str, config: str, strategies: Collection[str]) -> ModelPolicy:
    """Return the policy in the annotation CONFIG; the gateway's defaults where it is absent or cannot be read."""
    try:
        read = msgspec.json.decode(config, type=Profiles) if config else Profiles()
    except (msgspec.MsgspecError, RecursionError) as error:  # the second: nested too deeply
        log.warning("model_config_ignored", model=model, why=str(error))
        return ModelPolicy()
    policies = {name: _policy(model, read, profile, strategies) for name, profile in read.profiles.items()}
    if read.default_profile and read.default_profile not in policies:
        log.warning("model_config_ignored", model=model, why=f"no profile {read.default_profile[:QUOTED]!r}")
    default = policies.get(read.default_profile or "default") or _policy(model, read, Profile(), strategies)
    prices = prices_of(read.prices.input, read.prices.output, read.prices.cached_input)
    policies = {name: replace(policy, prices=prices) for name, policy in policies.items()}
    zero, adapters = read.scales_from_zero, read.waits_for_adapters
    return replace(default, profiles=policies, scales_from_zero=zero, waits_for_adapters=adapters, prices=prices)


def _policy(model: str, read: Profiles, profile: Profile, strategies: Collection[str]) -> ModelPolicy:
    strategy, rps = read.locked_routing_strategy or profile.routing_strategy, profile.requests_per_second or None
    if strategy and not _is_known(strategy, strategies):
        log.warning("model_config_ignored", model=model, why=f"unknown strategy {strategy[:QUOTED]!r}")
        return ModelPolicy(rps=rps)
    return ModelPolicy(strategy, bool(read.locked_routing_strategy), rps)


def _is_known(strategy: str, strategies: Collection[str]) -> bool:
    try:
        return all(part.name in strategies for part in parse_mixture(strategy))
    except ValueError:
        return False


def _port(text: str | None) -> int:
    """Return the port that a label says, 0 where it says none."""
    return int(text) if text and text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_PORT else 0


def _priority(text: str) -> int:
    """Return the priority that a label says, 0 where it says none."""
    number = int(text) if re.fullmatch(r"-?[0-9]{1,4}", text) else 0
    return number if abs(number) <= MAX_PRIORITY else 0


def _seconds(timestamp: str | None) -> float | None:
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else None
