"""Every key of the configuration file: its type, default, unit and meaning (docs/contracts.md section 9).

Lives here: the shape of the file; the docstrings become docs/config.md and the JSON schema.  Not here: reading files
and `${NAME}` references (loading, source), rules between keys (checks).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.addresses import (
    MAX_PORT,
    endpoint_address,
    gateway_address,
    http_path,
    listen_address,
    redis_url,
    web_origin,
)
from gateway.config.aliases import AliasSettings
from gateway.config.from_zero import LONGEST_WAIT_S, ScaleFromZeroSettings
from gateway.config.kubernetes import KubernetesSettings
from gateway.config.limits import LimitSettings
from gateway.config.picker import PickerSettings
from gateway.config.pools import PoolSettings, Priority
from gateway.config.prices import PriceSettings
from gateway.config.section import LONGEST_S, NO_FLAG, Adapters, ModelName, Seconds, Section
from gateway.config.tls import GatewayTlsSettings, ListenTlsSettings, TlsSettings
from ratelimit.limits import MAX_LIMIT

PromisedSeconds = Annotated[float, Field(ge=0, le=LONGEST_S), NO_FLAG]
ListenAddress = Annotated[str, AfterValidator(listen_address)]
GatewayAddress = Annotated[str, AfterValidator(gateway_address)]
EndpointAddress = Annotated[str, AfterValidator(endpoint_address)]
RedisUrl = Annotated[str, AfterValidator(redis_url)]
HttpPath = Annotated[str, AfterValidator(http_path)]
Origin = Annotated[str, AfterValidator(web_origin)]
WhenAway = Annotated[
    Literal["local", "deny", "allow"],
    BeforeValidator(lambda value: "local" if value == "shadow" else value),  # its name in older files
]

AskStreamUsage = Annotated[
    Literal["auto", "always", "never"],
    BeforeValidator(lambda value: {True: "always", False: "never"}[value] if isinstance(value, bool) else value),
]

MAX_BODY_LIMIT_BYTES = 32 * 1024 * 1024
"""Chosen: Envoy passes on up to twice the limit in one message, all of which the gateway holds in memory."""


ANONYMOUS_WORDS = ("allow", "deny")
"""The values of `anonymous` that are not the name of a user."""


class ListenSettings(Section):
    """The addresses that the gateway listens on, each `ip:port` or `localhost:port`."""

    grpc: ListenAddress = "127.0.0.1:50052"
    """Serves ext_proc, the access log and gRPC health checks, as gRPC over HTTP/2."""
    http: ListenAddress = "127.0.0.1:8080"
    """Serves `/metrics`, `/healthz`, `/readyz` and `/debug`."""
    admin: ListenAddress = "127.0.0.1:8090"
    """Serves the admin REST.  On any address but loopback, `admin_token` is required."""
    workers: tuple[ListenAddress, ...] = ()
    """One private gRPC address for each worker, so that Envoy balances between them; their number is then the number of
    workers.  Empty: all workers share `grpc`."""
    tls: ListenTlsSettings = ListenTlsSettings()

    def scheme(self, name: Literal["http", "admin"]) -> str:
        """Return the scheme of URLs at that address."""
        return "https" if name in self.tls.on else "http"


class RedisSettings(Section):
    """The Redis that holds users, API keys and what counts against limits."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    """The server's URL: `redis://:PASSWORD@HOST:PORT/DATABASE`, `rediss://` for TLS, or `unix:///PATH?db=DATABASE`.  In
    a password the characters `@:/?#%` are percent-encoded."""
    cluster: bool = False
    """Whether `url` names a node of a Redis Cluster; the other nodes are learned from it."""
    timeout_s: Seconds = 2.0
    """How long Redis may say nothing before `when_away` applies; until then requests wait.  It is asked again on other
    connections meanwhile, and time in which the worker itself did not get to run does not count.  A Redis that refuses
    connections is away at once."""
    when_away: WhenAway = "local"
    """How requests are limited while Redis does not answer.  `local`: each worker enforces its share of the limits that
    it saw last; `deny`: it answers 503; `allow`: nothing is limited.  The old name of `local`, `shadow`, is still
    accepted."""


class TrafficSettings(Section):
    """The counts of each model's requests and their lengths, which gateways write to Redis for the optimizer."""

    enabled: bool = True
    """Whether this gateway writes them, every 10 s; without them the optimizer knows no demand."""


class SharingSettings(Section):
    """Workers and replicas on one Redis tell each other of load, cached prompts, speeds, failures, waiting requests."""

    enabled: bool = True
    """Whether this gateway shares.  `false`: each worker counts, learns and queues for itself; limits of users are
    shared all the same."""
    interval_s: Annotated[float, Field(ge=0.005, le=0.5), NO_FLAG] = 0.05
    """The mean time between two messages while much changes; rare changes, and all while requests wait, are told at
    once.  A shorter interval costs CPU in every worker, a longer one lets workers see each other's load later."""


class RoutingSettings(Section):
    """How the pod for a request is chosen."""

    strategy: str = "forebay"
    """The default strategy, or a mixture such as `throughput:2,random`.  A model's own `strategy` and the request
    header `routing-strategy` take precedence."""
    fallbacks: Annotated[int, Field(ge=0, le=10), NO_FLAG] = 2
    """How many further pods are named after the chosen one; Envoy tries them in this order when a connection fails."""
    when_full: Literal["queue", "spread", "refuse"] = "queue"
    """The lot of requests while all pools are full: they wait in the gateway, at most `longest_wait_s` (`queue`),
    go to the engine that the strategy chooses of all pools (`spread`), or get 429 (`refuse`)."""
    slo_ttft_s: PromisedSeconds = 0.0
    """The promised time to first token (TTFT).  When no pod can keep it and `slo_itl_s` both, requests wait in the
    gateway, where users take turns; a request that would wait too long is refused with 429.  0: nothing is promised."""
    slo_itl_s: Seconds = 0.05
    """The promised average time per token after the first (inter-token latency, ITL), if `slo_ttft_s` is not 0."""
    longest_wait_s: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S), NO_FLAG] = 20.0
    """The longest time that a request waits in the gateway for a pod, whatever is promised.  Envoy's `message_timeout`
    must be longer, as it is in `forebay envoy-config`.  0: every request is sent or refused at once."""
    shadow: str = ""
    """A second strategy that is asked about every request and whose answers are only counted, in
    `forebay_shadow_decisions_total`.  Empty: none."""
    output_weight: Annotated[float, Field(gt=0, le=1_000_000), NO_FLAG] = 2.0
    """How many input tokens an output token counts as, where `throughput` and `vtc-basic` add up work."""


class TimeoutSettings(Section):
    """How long Envoy waits for engines."""

    connect_s: Seconds = 1.0
    """Time to connect to a pod, after which the next one is tried."""
    idle_s: Seconds = 600.0
    """Time without any byte of the request or its answer.  It must cover the wait for a long answer that is not
    streamed."""
    request_s: Seconds = 3600.0
    """Time for a whole request with its answer; an hour is the longest generation that we expect."""


class HealthSettings(Section):
    """Active health checks: GET `path` on each engine; a status below 500 is a success."""

    path: HttpPath = "/health"
    """The path that is checked; vLLM, SGLang and TensorRT-LLM all serve `/health`."""
    interval_s: Seconds = 1.0
    """Time between two checks of one endpoint."""
    timeout_s: Seconds = 1.0
    """A check that is not answered in this time has failed."""
    failures: Annotated[int, Field(ge=1, le=1000), NO_FLAG] = 2
    """Failures in a row that make an endpoint unhealthy; one success makes it healthy again."""
    fail_open: bool = True
    """Whether requests are sent all the same when every endpoint of a model is unhealthy, since the check may be what
    is wrong.  `false`: answer 503."""


class ScrapeSettings(Section):
    """Engine metrics: GET `path` on each engine."""

    path: HttpPath = "/metrics"
    """The path of the metrics page, unless an endpoint has its own; the engines that we know serve `/metrics`."""
    interval_s: Seconds = 2.0
    """Time between two scrapes of one endpoint by one worker: 0.25 ms of CPU.  A silent engine is asked up to 16 times
    as rarely, and all 4 times while none has requests.  A shorter interval makes routing steadier under overload."""
    timeout_s: Seconds = 1.0
    """A scrape that is not answered in this time has failed."""
    stale_after_s: Seconds = 7.0
    """Metrics older than this count as missing (3 intervals later where they are asked for rarely); it must be longer
    than `interval_s`; by default three scrapes may fail.  Larger hides dead engines, smaller makes metrics flicker."""


class EnvoySettings(Section):
    """The Envoy that users talk to, as `forebay envoy-config` renders it."""

    listen: ListenAddress = "127.0.0.1:10000"
    """The address that users send requests to."""
    tls: TlsSettings = TlsSettings()
    admin: ListenAddress = "127.0.0.1:19001"
    """The address of Envoy's own administration, which asks for no password: keep it on loopback."""
    gateways: tuple[GatewayAddress, ...] = ()
    """The gateways that this Envoy asks, each `host:port`: their `listen.grpc`, or the `listen.workers` of all of them.
    A name may stand for many.  One that is not well or that drains gets no new request.  Empty: this configuration's
    own."""
    gateway_tls: GatewayTlsSettings = GatewayTlsSettings()
    eds_file: str = ""
    """A file with the endpoints, which the gateway rewrites when they change and Envoy watches (EDS).  A relative path
    starts at the folder of this file.  Empty: the endpoints are fixed in Envoy's configuration."""
    body_mode: Literal["buffered", "full_duplex_streamed"] = "buffered"
    """How request bodies reach the gateway: gathered by Envoy first (`buffered`), or as they arrive
    (`full_duplex_streamed`, which requires `response_mode: ext_proc`)."""
    cors_origins: tuple[Origin, ...] = ()
    """The origins whose web pages may call the gateway from a browser (CORS), such as `https://chat.example.com`; `*`
    is any.  Envoy answers their preflights, and every answer to them may be read with all its headers.  Keys travel in
    headers, so browsers need to send no cookies and are not allowed to.  Empty: browsers keep other pages out."""
    fail_open: bool = False
    """Whether requests are served, without limits and routing, while no gateway answers; `false`: they get 503.  Must
    be `false` with `identity: api_key`, and with an API in `pools`."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000), NO_FLAG] = 20_000
    """How many connections of clients Envoy keeps at once; further ones are closed."""
    memory_bytes: Annotated[int, Field(ge=128 * 1024 * 1024, le=2**50), NO_FLAG] = 2 * 1024**3
    """The most heap that Envoy takes, mostly for bodies that it gathers.  Near it, requests that hold most are reset
    and new ones get 503."""

    @property
    def scheme(self) -> str:
        """The scheme of URLs at `listen`."""
        return "https" if self.tls.cert else "http"


class EndpointSettings(Section):
    """One engine that serves the model."""

    address: EndpointAddress
    """`ip:port`, IPv6 in brackets.  A host name is not possible, because Envoy compares addresses."""
    name: str = ""
    """The pod's name in headers and logs.  Empty: its address."""
    engine: Literal["vllm", "sglang", "trtllm", "other"] = "vllm"
    """The kind of engine, which decides the names of its metrics."""
    metric_port: Annotated[int | None, Field(ge=1, le=MAX_PORT), NO_FLAG] = None
    """The port of its metrics, if it is not that of `address`."""
    metric_path: Annotated[str, AfterValidator(lambda path: path and http_path(path))] = ""
    """The path of its metrics, if it is not `scrape.path`."""
    gpu: str = ""
    """The type of its GPU, for example `L20`."""
    pool: str = ""
    """The pool that it belongs to, for example `local` or `cloud`; one of `pools` where there are any."""
    pool_priority: Priority = 0
    """The rank of its pool, where `pools` does not have it; a lower one is preferred."""
    deployment: str = ""
    """The deployment that it belongs to; replica hints are given per deployment."""
    adapters: Adapters = ()
    """The LoRA adapters that it has loaded; each is a model name of its own, with the settings of its model.  `auto`:
    those that its engine lists (`/v1/models`, with the model as `parent`), asked every half second."""
    labels: dict[str, str] = Field(default={})
    """Its labels, which the request header `external-filter` selects by."""


class ProfileSettings(Section):
    """Another treatment of requests for the model, which the request header `config-profile` asks for."""

    name: Annotated[str, Field(min_length=1)]
    """The name that clients send."""
    strategy: str = ""
    """The strategy.  Empty, or where the model's is locked: the model's."""
    rps: Annotated[int | None, Field(ge=0, le=MAX_LIMIT), NO_FLAG] = None
    """The most requests in any second, those of other profiles counted.  Absent: the model's."""


class ModelSettings(Section):
    """One model name and the engines that serve it."""

    name: ModelName
    """The name that clients send."""
    strategy: str = ""
    """The model's strategy.  Empty: `routing.strategy`."""
    slo_ttft_s: PromisedSeconds | None = None
    """The model's promised time to first token.  Absent: `routing.slo_ttft_s`."""
    slo_itl_s: Seconds | None = None
    """The model's promised inter-token latency.  Absent: `routing.slo_itl_s`."""
    locked: bool = False
    """Whether the request header `routing-strategy` is ignored for this model."""
    rps: Annotated[int | None, Field(ge=0, le=MAX_LIMIT), NO_FLAG] = None
    """The most requests in any second, of all users together and over all replicas.  Absent: unlimited; 0: none."""
    prices: PriceSettings = PriceSettings()
    scales_from_zero: bool = False
    """Whether somebody starts an engine when requests wait for the first one, as `scale_from_zero` says."""
    waits_for_adapters: bool = False
    """Whether requests for an adapter that is to be loaded, and that no engine has, wait as `scale_from_zero` says."""
    profiles: tuple[ProfileSettings, ...] = ()
    """Other treatments that clients may ask for."""
    endpoints: tuple[EndpointSettings, ...] = ()
    """The engines that serve the model.  A model without any is known and answers 503, or lets requests wait."""


class Settings(Section):
    """The whole file."""

    listen: ListenSettings = ListenSettings()
    redis: RedisSettings = RedisSettings()
    sharing: SharingSettings = SharingSettings()
    traffic: TrafficSettings = TrafficSettings()
    routing: RoutingSettings = RoutingSettings()
    scale_from_zero: ScaleFromZeroSettings = ScaleFromZeroSettings()
    limits: LimitSettings = LimitSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    health: HealthSettings = HealthSettings()
    scrape: ScrapeSettings = ScrapeSettings()
    envoy: EnvoySettings = EnvoySettings()
    response_mode: Literal["metadata", "ext_proc"] = "metadata"
    """The source of a request's usage: Envoy's metadata and access log (`metadata`), or the response itself, which then
    passes through the gateway (`ext_proc`)."""
    ask_stream_usage: AskStreamUsage = "auto"
    """Whether engines are asked for the usage of chat and completion streams whose clients did not ask.  `auto`: where
    the answer passes through the gateway, which hides the event with the usage (`response_mode: ext_proc`); `always`:
    in metadata mode too, where clients then see an event without choices that some break on; `never`.  A stream without
    usage is charged by estimate.  `true` and `false` mean `always` and `never`."""
    transport: Literal["http2", "grpc"] = "http2"
    """The gRPC server of a worker: `http2` is our own HTTP/2 server, `grpc` is grpc.aio, which needs more CPU."""
    identity: Literal["header", "api_key"] = "header"
    """How a request's user is identified: by the header `user`, or by the API key in `authorization: Bearer KEY`.  With
    `api_key` the header `user` is ignored, and engines see neither of the two."""
    anonymous: Annotated[str, Field(min_length=1)] | None = None
    """The treatment of requests without a user, or without a key: `allow` serves them without limits, `deny` answers
    401, and any other value is the user that they are counted as.  Absent: `deny` with `identity: api_key`, else
    `allow`."""
    body_limit_bytes: Annotated[int, Field(ge=1024, le=MAX_BODY_LIMIT_BYTES), NO_FLAG] = 16 * 1024 * 1024
    """The largest request body in bytes; a larger one is answered with 413."""
    admin_token: str = ""
    """The bearer token of the admin REST.  Empty: none is needed, and `listen.admin` must be loopback."""
    admin_open: bool = False
    """Whether the admin REST needs no token on any address, for closed test clusters: whoever reaches it administers
    all users."""
    hide_pod_address: bool = False
    """Whether the response header `target-pod-ip` is left out."""
    compat: Literal["modern", "v0.2.1"] = "modern"
    """`v0.2.1`: errors, Envoy's own among them, have the bodies and statuses of AIBrix v0.2.1, and in records of users
    that it could have written (`rpm` and `tpm`, nothing of ours) an `rpm` of 0 means 100 and a `tpm` of 0 a thousand
    times `rpm`.  `modern`: errors are OpenAI's, and 0 allows nothing."""
    drain_s: Seconds = 30.0
    """How long running requests may take to finish after SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe events that are logged; logs go to standard error."""
    kubernetes: KubernetesSettings = KubernetesSettings()
    picker: PickerSettings = PickerSettings()
    pools: tuple[PoolSettings, ...] = ()
    """The pools that engines belong to.  None: the engines' own `pool_priority` says which are preferred."""
    aliases: tuple[AliasSettings, ...] = ()
    """Further names for models, and what takes their place."""
    models: tuple[ModelSettings, ...] = ()
    """The models and the engines that serve them; `[]` is an empty fleet."""
    models_file: str = ""
    """A YAML file with the list of models, instead of `models`; it is read again whenever it changes.  Only `[]` is
    an empty fleet: with an empty or broken file the last good models stay.  A relative path starts at the folder of
    this file."""

    @property
    def asks_stream_usage(self) -> bool:
        """Whether the usage of streams is asked for on behalf of clients."""
        return self.ask_stream_usage == "always" or (
            self.ask_stream_usage == "auto" and self.response_mode == "ext_proc"
        )

    @property
    def trusts_picker_headers(self) -> bool:
        """Whether requests may steer themselves: as `picker.trust_headers` says, or by its default for `identity`."""
        trusts = self.picker.trust_headers
        return self.identity == "header" if trusts is None else trusts

    @property
    def anonymous_requests(self) -> str:
        """How requests that name nobody are treated: as `anonymous` says, or by its default for `identity`."""
        return self.anonymous or ("deny" if self.identity == "api_key" else "allow")
