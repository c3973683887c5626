"""What routing talks about: endpoints, pods as a strategy sees them, requests and decisions.

Lives here: values and read-only views.  Not here: who counts (gateway.fleet), who discovers (gateway.discovery).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from routing.selectors import Selector

T = TypeVar("T")

PodId = str
"""`namespace/pod` in Kubernetes, the endpoint's name in a static file."""


class Signal(StrEnum):
    """Engine metrics a strategy may declare it needs; contracts name the source metric per engine."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_USAGE = "kv_usage"
    CACHE_BLOCKS = "cache_blocks"


class Rng(Protocol):
    """The randomness a strategy may use; `random.Random` is one.  Made in composition roots, seeded in tests."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """Return `k` different members in random order."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One engine as discovery describes it.  `address` is `ip:port`, IPv6 in brackets."""

    id: PodId
    name: str
    address: str
    models: tuple[str, ...]  # the base model first, then adapters
    engine: str = "vllm"
    deployment: str = ""
    gpu_type: str = ""
    pool: str = ""
    pool_priority: int = 0
    node: str = ""
    ready: bool = True
    draining: bool = False
    started_at: float | None = None  # Unix seconds; None = unknown
    labels: Mapping[str, str] = field(default_factory=dict)


class PodView(Protocol):
    """A pod as a strategy may read it, true at the instant of the pick."""

    @property
    def endpoint(self) -> Endpoint: ...  # noqa: D102 - the type says it
    @property
    def in_flight(self) -> int:
        """Requests sent to this pod that have not been seen to finish, counted by the gateway."""
        ...

    def signal(self, signal: Signal) -> float | None:
        """The engine's own figure; None when absent or stale (unknown is never zero)."""
        ...


class RouteRequest(NamedTuple):
    """The facts of one request that routing may use."""

    model: str
    user: str = ""
    prompt_tokens: int = 0  # estimated
    output_tokens: int = 0  # expected
    session: str = ""
    subset: frozenset[str] | None = None  # addresses (`ip:port` or `ip`) the proxy allows; None = all
    selector: Selector | None = None  # labels the client asks for; None = any
    blocks: Sequence[int] = ()
    """Chained hashes of the prompt's full blocks in order: equal = the same prompt up to there.  Empty: unknown."""


class Decision(NamedTuple):
    """Where a request goes and why.  `fallbacks` are tried in order when the connection fails."""

    pod: Endpoint
    reason: str  # short, printable ASCII: it becomes a response header
    strategy: str
    fallbacks: tuple[Endpoint, ...] = ()

    @property
    def destinations(self) -> str:
        """`ip:port[,ip:port...]`: the primary and the ordered fallbacks."""
        return ",".join(endpoint.address for endpoint in (self.pod, *self.fallbacks))


class NoCandidateReason(StrEnum):
    """Why no pod may take a request."""

    UNKNOWN_MODEL = "unknown-model"
    NOT_READY = "not-ready"
    OUTSIDE_SUBSET = "outside-subset"
    NO_MATCH = "no-match"  # ready pods inside the subset, none with the labels asked for


class NoCandidateError(Exception):
    """No pod may take the request."""

    def __init__(self, why: NoCandidateReason) -> None:
        super().__init__(why.value)
        self.why = why


Candidates = Sequence[PodView]
