"""What routing talks about: endpoints, pods as a strategy sees them, requests and decisions.

Lives here: values and read-only views.  Not here: who counts (gateway.fleet.fleet), who discovers (gateway.discovery).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from routing.pods.speed import Speed
from routing.prefix.index import NO_MATCH, Cache, Match
from routing.selectors import Selector

T = TypeVar("T")

PodId = str
"""`namespace/pod` in Kubernetes, the endpoint's name in a static file."""


class Signal(StrEnum):
    """Engine metrics a strategy may declare it needs; contracts name the source metric per engine."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_USAGE = "kv_usage"
    CACHE_TOKENS = "cache_tokens"


class Rng(Protocol):
    """The randomness a strategy may use; `random.Random` is one.  Made in composition roots, seeded in tests."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """Return `k` different members in random order."""
        ...

    def random(self) -> float:
        """Return a number in [0, 1)."""
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
    metrics: str = ""  # `ip:port[/path]` of its metrics; empty: `address`, and the usual path
    labels: Mapping[str, str] = field(default_factory=dict)


class Slo(NamedTuple):
    """What a request is promised; what cannot be kept is refused."""

    ttft_s: float  # to the first token
    itl_s: float  # per token after that, on average


class PodView(Protocol):
    """A pod as a strategy may read it, true at the instant of the pick."""

    @property
    def endpoint(self) -> Endpoint: ...  # noqa: D102 - the type says it
    @property
    def in_flight(self) -> int:
        """Requests sent to this pod that have not been seen to finish, counted by the gateway."""
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
        """How many requests at once keep tokens as close together as promised; infinity = unknown."""
        ...

    @property
    def prefill_done_at_s(self) -> float:
        """When the prompts sent so far are believed to be computed; in the past when they are."""
        ...

    @property
    def prefill_share(self) -> float:
        """Of the pod's time, what prompts may take."""
        ...

    def prefill_backlog_s(self, now_s: float) -> float:
        """Seconds of prefill that it was sent beyond this share."""
        ...

    @property
    def latency_per_token_s(self) -> float | None:
        """Seconds per weighted token of finished requests; None = none has finished."""
        ...

    @property
    def cache_tokens(self) -> float | None:
        """Room for tokens in its KV cache; None = it does not say."""
        ...

    @property
    def speed(self) -> Speed: ...  # noqa: D102 - the type says it
    @property
    def cache(self) -> Cache:
        """What it is believed to hold of prompts."""
        ...

    def busy_s(self, now_s: float) -> float:
        """Seconds in the window during which a request was in flight."""
        ...

    def processed_tokens(self, now_s: float) -> float:
        """Weighted tokens of requests that ended in the window."""
        ...

    @property
    def full_share_at_s(self) -> float:
        """When it gets its full share; in the past unless it is new."""
        ...

    def slow_start_factor(self, now_s: float) -> float:
        """How many times as long its work is to be taken to last before then."""
        ...

    def is_warm(self, model: str, now_s: float) -> bool:
        """Whether it has the model at hand: the base model, or an adapter that it uses or used a moment ago."""
        ...

    def signal(self, signal: Signal, now_s: float) -> float | None:
        """The engine's own figure; None when absent, stale or no number >= 0 (unknown is never zero)."""
        ...


class RouteRequest(NamedTuple):
    """The facts of one request that routing may use."""

    model: str
    user: str = ""
    prompt_tokens: int = 0  # estimated
    output_tokens: int = 0  # expected
    session: str = ""
    first_block_missing_tokens: float = 0.0  # by so many the first block is shorter than others
    subset: frozenset[str] | None = None  # addresses (`ip:port` or `ip`) the proxy allows; None = all
    selector: Selector | None = None  # labels the client asks for; None = any
    slo: Slo | None = None  # None = nothing is promised, and nothing waits or is refused for load
    blocks: Sequence[int] = ()
    """Chained hashes of the prompt's full blocks in order: equal = the same prompt up to there.  Empty: unknown."""
    block_tokens: float = 0.0  # in one of them; 0 = unknown
    match: Match = NO_MATCH  # who holds how many of them, at the instant of the pick

    def with_match(self, match: Match) -> "RouteRequest":
        """Return the request with what pods hold of its prompt."""
        return self._replace(match=match)

    def without_blocks(self) -> "RouteRequest":
        """Return the request as it is kept while it is answered: a long prompt has thousands of blocks."""
        return self._replace(blocks=())

    def cached_tokens(self, pod: PodView) -> float:
        """Return how many prompt tokens the pod is believed to hold."""
        blocks = self.match.blocks(pod.cache.slot)
        return blocks * self.block_tokens - self.first_block_missing_tokens if blocks else 0.0

    def uncached_tokens(self, pod: PodView) -> float:
        """Return how many prompt tokens the pod would have to compute; at least the last one."""
        return max(1.0, self.prompt_tokens - self.cached_tokens(pod))


AND = "+"
"""Between what stands in for several parts of a mixture."""


class Scored(NamedTuple):
    """What a strategy thought of each pod that it looked at; the lowest score wins."""

    pods: Sequence[PodView]
    scores: Sequence[float]
    parts: Sequence[tuple[float, ...]] = ()  # per pod, as the strategy's `parts` name them; empty: the score is all
    fallback: str = ""  # see Decision


class Decision(NamedTuple):
    """Where a request goes and why.  `fallbacks` are tried in order when the connection fails."""

    pod: Endpoint
    reason: str  # short, printable ASCII: it becomes a response header
    strategy: str
    fallbacks: tuple[Endpoint, ...] = ()
    fallback: str = ""
    """Why the strategy did not choose as its name says, constants of the program joined by AND; empty: it did."""
    scored: "Scored | None" = None

    def without_scores(self) -> "Decision":
        """Return the decision as it is kept while the request is answered: scores refer to every candidate."""
        return self._replace(scored=None)

    def with_wait(self, waited_s: float) -> "Decision":
        """Return the decision for a request that had to wait for it."""
        return self._replace(reason=f"{self.reason}, waited {waited_s * 1000:.0f} ms")

    @property
    def destinations(self) -> str:
        """`ip:port[,ip:port...]`: the primary and the ordered fallbacks."""
        return ",".join([endpoint.address for endpoint in (self.pod, *self.fallbacks)])


class NoCandidateReason(StrEnum):
    """Why no pod may take a request."""

    UNKNOWN_MODEL = "unknown-model"
    NOT_READY = "not-ready"
    OUTSIDE_SUBSET = "outside-subset"
    NO_MATCH = "no-match"  # ready pods inside the subset, none with the labels asked for
    OVERLOADED = "overloaded"  # every one that would do has more to compute than the SLO allows


class NoCandidateError(Exception):
    """No pod may take the request."""

    def __init__(self, why: NoCandidateReason, retry_after_s: float = 0.0) -> None:
        super().__init__(why.value)
        self.why = why
        self.retry_after_s = retry_after_s  # when it would have been taken; only of OVERLOADED


Candidates = Sequence[PodView]
