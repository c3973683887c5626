"""The vocabulary of routing: endpoints, pods as strategies see them, requests and decisions.

Lives here: values and read-only views.  Not here: accounting (gateway.fleet.fleet), discovery (gateway.discovery).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from routing.pods.foreign import Foreign
from routing.pods.speed import Speed
from routing.prefix.index import NO_MATCH, Cache, Match
from routing.selectors import Selector

T = TypeVar("T")

PodId = str
"""`namespace/pod` in Kubernetes, the endpoint's name in a static file."""


class Signal(StrEnum):
    """Engine metrics that a strategy may need; docs/contracts.md section 5 has their names for each engine."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_USAGE = "kv_usage"
    CACHE_TOKENS = "cache_tokens"


class Rng(Protocol):
    """A random number generator, such as `random.Random`.  Composition roots make it, tests seed it."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """Return `k` different members in random order."""
        ...

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


API = "api"
"""The `engine` of an endpoint that is an API in the cloud."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine as discovery describes it.  `address` is `ip:port`, IPv6 in brackets."""

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
    metrics: str = ""  # `ip:port[/path]` of its metrics page; empty: `address` and the engine's default path
    labels: Mapping[str, str] = field(default_factory=dict)
    lists_adapters: bool = False  # its engine's own list says which adapters it has, beside those in `models`

    @property
    def is_api(self) -> bool:
        """Whether it is an API in the cloud: it has no health and no metrics, and its capacity is not ours."""
        return self.engine == API


class Slo(NamedTuple):
    """The latency objective of a request; a request for which it cannot be kept is refused."""

    ttft_s: float  # time to first token
    itl_s: float  # mean time between tokens


class PodView(Protocol):
    """The state of a pod that strategies may read, as it is at the time of the pick."""

    @property
    def endpoint(self) -> Endpoint: ...  # noqa: D102 - the type says it
    @property
    def in_flight(self) -> int:
        """Requests that the gateway sent to the pod and that have not ended."""
        ...

    @property
    def own_in_flight(self) -> int:
        """Those of them that this replica sent."""
        ...

    @property
    def foreign(self) -> Foreign:
        """The load that others than the replicas of this gateway put there."""
        ...

    @property
    def sent(self) -> int:
        """Requests that the gateway ever sent to the pod."""
        ...

    @property
    def prefill_tokens(self) -> float:
        """Uncached prompt tokens of the requests in flight."""
        ...

    @property
    def output_tokens(self) -> int:
        """Expected output tokens of the requests in flight."""
        ...

    @property
    def resident_tokens(self) -> int:
        """Prompt tokens and expected output tokens of the requests in flight."""
        ...

    @property
    def max_in_flight(self) -> float:
        """The most requests in flight that keep the ITL SLO; infinity = unknown."""
        ...

    @property
    def prefill_done_at_s(self) -> float:
        """Predicted end of the prefill of all prompts sent so far; a time in the past = no prefill is left."""
        ...

    @property
    def prefill_share(self) -> float:
        """Share of the pod's time that prefill may take."""
        ...

    def prefill_backlog_s(self, now_s: float) -> float:
        """Seconds of prefill that were sent to the pod in excess of `prefill_share`."""
        ...

    @property
    def latency_per_token_s(self) -> float | None:
        """Seconds per weighted token of finished requests; None = none has finished."""
        ...

    @property
    def cache_tokens(self) -> float | None:
        """Capacity of its KV cache in tokens; None = the engine does not report it."""
        ...

    @property
    def speed(self) -> Speed: ...  # noqa: D102 - the type says it
    @property
    def cache(self) -> Cache:
        """The model of its prefix cache."""
        ...

    def busy_s(self, now_s: float) -> float:
        """Seconds in the window during which a request was in flight."""
        ...

    def processed_tokens(self, now_s: float) -> float:
        """Weighted tokens of requests that ended in the window."""
        ...

    @property
    def full_share_at_s(self) -> float:
        """End of the slow start of a new pod; a time in the past = it gets its full share."""
        ...

    def slow_start_factor(self, now_s: float) -> float:
        """Factor on the pod's score during slow start, >= 1."""
        ...

    def is_loaded(self, model: str) -> bool:
        """Whether the model is loaded: the base model, or an adapter in one of the engine's slots."""
        ...

    def signal(self, signal: Signal, now_s: float) -> float | None:
        """The engine's own metric; None when absent, stale or not a number >= 0 (unknown is never zero)."""
        ...


class RouteRequest(NamedTuple):
    """The properties of a request that routing may use."""

    model: str
    user: str = ""
    prompt_tokens: int = 0  # estimated
    output_tokens: int = 0  # expected
    sequences: int = 1  # as engines count it: its prompts times the answers to each
    session: str = ""
    first_block_missing_tokens: float = 0.0  # tokens by which the first block is shorter than the others
    subset: frozenset[str] | None = None  # addresses (`ip:port` or `ip`) that the proxy allows; None = all
    selector: Selector | None = None  # labels that the client asks for; None = any
    slo: Slo | None = None  # None = the request neither waits nor is refused for load
    priority: int = 0  # of requests that wait, those of a higher one go first
    search: bool = False  # one candidate has what is asked for, the others answer 404: all are named, to be tried
    blocks: Sequence[int] = ()
    """Chained hashes of the prompt's full blocks, in order; equal = the same prompt up to there.  Empty: unknown."""
    block_tokens: float = 0.0  # tokens of a block; 0 = unknown
    match: Match = NO_MATCH  # the blocks that each pod has cached at the time of the pick

    def with_match(self, match: Match) -> "RouteRequest":
        """Return the request with the blocks of its prompt that each pod has cached."""
        return RouteRequest(*self[:-1], match)  # at a third of the cost of _replace

    def without_blocks(self) -> "RouteRequest":
        """Return the request as it is kept while it is answered: a long prompt has thousands of blocks."""
        return RouteRequest(*self[:-3], (), *self[-2:])  # as in with_match

    def cached_tokens(self, pod: PodView) -> float:
        """Return how many prompt tokens the pod is believed to have cached."""
        blocks = self.match.blocks(pod.cache.slot)
        return blocks * self.block_tokens - self.first_block_missing_tokens if blocks else 0.0

    def uncached_tokens(self, pod: PodView) -> float:
        """Return how many prompt tokens the pod would have to compute: at least 1, the last one."""
        return max(1.0, self.prompt_tokens - self.cached_tokens(pod))


AND = "+"
"""Separator of the fallback reasons of a mixture's parts."""


class Scored(NamedTuple):
    """The score of each pod that a strategy considered; the lowest wins."""

    pods: Sequence[PodView]
    scores: Sequence[float]
    parts: Sequence[tuple[float, ...]] = ()  # parts of each pod's score, in the order of `Strategy.part_names`
    fallback: str = ""  # see Decision
    foreign: int = 0  # pods with foreign load, where the score counts it


class Decision(NamedTuple):
    """The pod that was chosen, and why.  The pods in `fallbacks` are tried in order when the connection fails."""

    pod: Endpoint
    reason: str  # short, printable ASCII: it becomes a response header
    strategy: str
    fallbacks: tuple[Endpoint, ...] = ()
    fallback: str = ""
    """Why the strategy chose by something else than its name says, such as `no-session`; reasons of several parts are
    joined by AND.  Empty: it did not."""
    scored: Scored | None = None

    def without_scores(self) -> "Decision":
        """Return the decision as it is kept while the request is answered: scores refer to every candidate."""
        return Decision(*self[:-1])  # without the last field; at a third of the cost of _replace

    def with_wait(self, waited_s: float) -> "Decision":
        """Return the decision with the request's wait in its reason."""
        return self._replace(reason=f"{self.reason}, waited {waited_s * 1000:.0f} ms")

    @property
    def destinations(self) -> str:
        """The addresses to try in order, `ip:port[,ip:port...]`: the chosen pod, then the fallbacks."""
        return ",".join([endpoint.address for endpoint in (self.pod, *self.fallbacks)])


class NoCandidateReason(StrEnum):
    """Why no pod may take a request."""

    UNKNOWN_MODEL = "unknown-model"
    NOT_READY = "not-ready"
    OUTSIDE_SUBSET = "outside-subset"
    NO_MATCH = "no-match"  # there are ready pods in the subset, but none with the labels
    OVERLOADED = "overloaded"  # no candidate can keep the SLO now
    POOLS_FULL = "pools-full"  # all pools are full, and the request is not to wait
    NO_IDLE_POD = "no-idle-pod"  # overloaded, for a prompt that even an idle pod cannot answer within the SLO


class NoCandidateError(Exception):
    """No pod may take the request; `why` says the reason."""

    def __init__(self, why: NoCandidateReason, retry_after_s: float = 0.0) -> None:
        super().__init__(why.value)
        self.why = why
        self.retry_after_s = retry_after_s  # seconds until a pod could take it; only for OVERLOADED


Candidates = Sequence[PodView]
