"""The one configuration file: every key, its default, its unit and why (contracts section 9).

Lives here: the shape.  Not here: reading files, `${ENV}` and "did you mean" (gateway.config.loading).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.config.addresses import MAX_PORT, endpoint_address, http_path, listen_address, redis_url

Seconds = Annotated[float, Field(gt=0)]
ListenAddress = Annotated[str, AfterValidator(listen_address)]
EndpointAddress = Annotated[str, AfterValidator(endpoint_address)]
RedisUrl = Annotated[str, AfterValidator(redis_url)]
HttpPath = Annotated[str, AfterValidator(http_path)]
WhenAway = Annotated[
    Literal["local", "deny", "allow"], BeforeValidator(lambda name: "local" if name == "shadow" else name)
]
"""`shadow` is what older files call `local`."""


MAX_BODY_LIMIT_BYTES = 32 * 1024 * 1024
"""Chosen: Envoy passes on up to twice the limit in one message, which the gateway then holds."""


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, attribute docstrings are its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ListenSettings(Section):
    """Addresses, `host:port`."""

    grpc: ListenAddress = "127.0.0.1:50052"
    """ext_proc, access log and health, gRPC over plain HTTP/2."""
    http: ListenAddress = "127.0.0.1:8080"
    """/metrics, /healthz, /readyz, /debug."""
    admin: ListenAddress = "127.0.0.1:8090"
    """Admin REST.  On any but a loopback address `admin_token` is required."""
    workers: tuple[ListenAddress, ...] = ()
    """One private gRPC address per worker, so that Envoy can balance between them; empty: only the shared one."""


class RedisSettings(Section):
    """Where users and limits live."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    """`redis://`, `rediss://` or `unix://`."""
    cluster: bool = False
    """`url` names a node of a Redis Cluster; the other nodes are learned from it."""
    timeout_s: Seconds = 0.25
    """The longest a request waits for Redis before `when_away` decides; a local Redis answers in 0.001."""
    when_away: WhenAway = "local"
    """What decides while Redis is away.  `local` (formerly `shadow`): each replica, by its share of the limits that it
    saw last; `deny`: nothing is admitted, 503; `allow`: no limits."""


class RoutingSettings(Section):
    """How a pod is chosen."""

    strategy: str = "forebay"
    """The default; a model's own `strategy` and the `routing-strategy` header come before it."""
    fallbacks: Annotated[int, Field(ge=0, le=10)] = 2
    """Further pods named after the chosen one; Envoy goes down the list when a connection fails."""
    slo_ttft_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds to the first token that are promised.  Where no pod can keep that, or `slo_itl_s`, requests wait in the
    gateway, users in turn, and those that would wait too long are refused: 429.  0: nothing is promised."""
    slo_itl_s: Seconds = 0.05
    """Seconds per token after the first, on average."""
    longest_wait_s: Annotated[float, Field(ge=0)] = 20.0
    """In the gateway, whatever is promised; Envoy's `message_timeout` must be longer, and is in `forebay envoy-config`.
    0: requests are sent or refused at once."""
    shadow: str = ""
    """A second strategy that is asked beside the real one, and only counted: `forebay_shadow_decisions_total`."""
    output_weight: Annotated[float, Field(gt=0)] = 2.0
    """How many input tokens an output token counts for, where `throughput` and `vtc-basic` weigh work."""


class LimitSettings(Section):
    """What is reserved before the real usage is known."""

    output_tokens: Annotated[int, Field(ge=1)] = 256
    """Output tokens reserved for a request that names no maximum, while nothing is known of the user's and the model's
    answers."""
    named_output_tokens: Annotated[int, Field(ge=1)] = 4096
    """The most that is reserved of a maximum that a request names, while no answers under such maxima are known.  Less
    lets more in at first, and over the limit."""
    output_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Of a user's earlier answers from a model, the share that was no longer than what is reserved for the next one.
    Larger refuses earlier; smaller lets more answers outgrow what was reserved for them."""
    tokens_per_byte: Annotated[float, Field(gt=0, le=1)] = 0.25
    """First guess of prompt tokens per byte of text; English is near 0.25 in common vocabularies."""
    settle_grace_s: Seconds = 2.0
    """After a request's end, how long the access-log entry with its usage may take; then the estimate stands."""


class TimeoutSettings(Section):
    """How long Envoy waits for engines."""

    connect_s: Seconds = 1.0
    """A pod that does not accept in this time is passed over."""
    idle_s: Seconds = 600.0
    """Silence on a request, either way; covers the wait for a long answer that is not streamed."""
    request_s: Seconds = 3600.0
    """A whole request; an hour of generation is the longest we mean to carry."""


class HealthSettings(Section):
    """Active health checks of engines: GET `path` on each."""

    path: HttpPath = "/health"
    """vLLM, SGLang and TensorRT-LLM all serve it."""
    interval_s: Seconds = 1.0
    """Between two checks of one endpoint."""
    timeout_s: Seconds = 1.0
    """An answer later than this is a failure."""
    failures: Annotated[int, Field(ge=1)] = 2
    """Failures in a row that make an endpoint not ready; one success makes it ready again."""
    fail_open: bool = True
    """When no endpoint of a model passes, try them all the same: the check may be what is wrong.  `false`: 503."""


class ScrapeSettings(Section):
    """Engine metrics: GET `path` on each."""

    path: HttpPath = "/metrics"
    """vLLM, SGLang and TensorRT-LLM all serve it."""
    interval_s: Seconds = 2.0
    """Between two scrapes of one endpoint, by each worker, 0.25 ms of CPU each; one that fails is asked up to 16 times
    as rarely.  Less makes overload steadier."""
    timeout_s: Seconds = 1.0
    """An answer later than this is none."""
    stale_after_s: Seconds = 7.0
    """Older metrics are treated as absent; three missed scrapes.  Larger hides dead engines, smaller flaps."""


class EnvoySettings(Section):
    """The Envoy that users talk to, as `forebay envoy-config` renders it."""

    listen: ListenAddress = "127.0.0.1:10080"
    """Where users send requests."""
    admin: ListenAddress = "127.0.0.1:19001"
    """Envoy's own administration; keep it on loopback."""
    eds_file: str = ""
    """A file with the endpoints, watched by Envoy and rewritten when they change; empty: endpoints are static."""
    body_mode: Literal["buffered", "full_duplex_streamed"] = "buffered"
    """How request bodies reach the gateway: gathered by Envoy, or as they arrive (with `response_mode: ext_proc`)."""
    fail_open: bool = False
    """Serve, unlimited and unrouted, while no gateway answers; otherwise 503.  Not with `identity: api_key`."""


class EndpointSettings(Section):
    """One engine of a model."""

    address: EndpointAddress
    """`ip:port`, IPv6 in brackets; not a host name, because Envoy compares addresses."""
    name: str = ""
    """The pod's name in headers and logs; default: the address."""
    engine: Literal["vllm", "sglang", "trtllm", "other"] = "vllm"
    """Decides metric names."""
    metric_port: Annotated[int | None, Field(ge=1, le=MAX_PORT)] = None
    """Where its metrics are, when not on the port of `address`."""
    metric_path: Annotated[str, AfterValidator(lambda path: path and http_path(path))] = ""
    """Instead of `scrape.path`."""
    gpu: str = ""
    """GPU type, e.g. `L20`."""
    pool: str = ""
    """E.g. `local` or `cloud`."""
    pool_priority: int = 0
    """Lower is preferred."""
    deployment: str = ""
    """What a replica hint speaks about."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters it has loaded; each is a model name of its own."""
    labels: dict[str, str] = Field(default_factory=dict)
    """For `external-filter`."""


class ModelSettings(Section):
    """One model name and the engines that serve it."""

    name: Annotated[str, Field(min_length=1)]
    """As clients send it."""
    strategy: str = ""
    """Instead of the default strategy."""
    slo_ttft_s: Annotated[float | None, Field(ge=0)] = None
    """Instead of `routing.slo_ttft_s`."""
    slo_itl_s: Annotated[float | None, Field(gt=0)] = None
    """Instead of `routing.slo_itl_s`."""
    locked: bool = False
    """The model's strategy beats the `routing-strategy` header."""
    rps: Annotated[int | None, Field(ge=0)] = None
    """Requests in any second, of all users together, over all replicas; absent: unlimited, 0: none."""
    endpoints: tuple[EndpointSettings, ...] = ()
    """May be empty: a known model with no pod answers 503."""


class Settings(Section):
    """The whole file.  Everything has a default."""

    listen: ListenSettings = ListenSettings()
    redis: RedisSettings = RedisSettings()
    routing: RoutingSettings = RoutingSettings()
    limits: LimitSettings = LimitSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    health: HealthSettings = HealthSettings()
    scrape: ScrapeSettings = ScrapeSettings()
    envoy: EnvoySettings = EnvoySettings()
    response_mode: Literal["metadata", "ext_proc"] = "metadata"
    """How usage is learned: from Envoy's metadata and access log, or from the response passed through ext_proc."""
    transport: Literal["http2", "pyvoy", "grpc"] = "http2"
    """An HTTP/2 server of our own, gRPC over ASGI hosted in an Envoy process, or grpc.aio."""
    identity: Literal["header", "api_key"] = "header"
    """Who a request's user is: whom the `user` header names, or who holds the API key in `authorization: Bearer KEY`.
    With `api_key` the `user` header means nothing, and engines see neither."""
    anonymous: Annotated[str, Field(min_length=1)] = "allow"
    """Requests without `user`, or without a key: `allow` (no limits), `deny` (401), or the user they count as."""
    body_limit_bytes: Annotated[int, Field(ge=1024, le=MAX_BODY_LIMIT_BYTES)] = 16 * 1024 * 1024
    """Larger request bodies answer 413."""
    admin_token: str = ""
    """Bearer token of the admin REST; empty: none, and then `listen.admin` must be loopback."""
    hide_pod_address: bool = False
    """Leave `target-pod-ip` out of responses."""
    compat: Literal["modern", "v0.2.1"] = "modern"
    """`v0.2.1`: error bodies and statuses as the original printed them."""
    drain_s: Seconds = 30.0
    """After SIGTERM, how long running requests may take to finish."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Structured logs on standard error."""
    models: tuple[ModelSettings, ...] = ()
    """The fleet; `[]` is an empty pool."""
    models_file: str = ""
    """A YAML file with a list of models, watched and reloaded, instead of `models`; relative to this file."""
