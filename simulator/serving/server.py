"""Simulated engines behind HTTP servers: as a process, or on the event loop of a test.

Lives here: the socket, the server, signals, the clock.  Not here: the application (routes).
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.calibration.gpu_file import load_gpu
from simulator.core.profile import DEFAULT_GPU, Profile
from simulator.core.speed import steady
from simulator.serving.async_engine import AsyncEngine
from simulator.serving.exchange import TRANSPORT
from simulator.serving.routes import application

if TYPE_CHECKING:
    from simulator.serving.kv_events import KvEvents

BACKLOG = 4096
"""Connections that may wait to be accepted; Linux caps it at somaxconn, 4096 by default."""

IDLE_S = 5
"""Seconds after which an idle connection is closed, as vLLM does (uvicorn's default)."""

EXIT_S = 1
"""Seconds by which requests that a fault keeps open may delay the exit (chosen)."""


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine that answers at `address` (`ip:port`)."""

    address: str
    engine: AsyncEngine
    stop: Callable[[], None]
    """Begin to shut down; leaving the block of `running_engine` waits for the end."""

    @property
    def url(self) -> str:
        """`http://ip:port`."""
        return f"http://{self.address}"


def serve(
    model: str,
    host: str,
    port: int,
    *,
    count: int = 1,
    name: str = "",
    gpu: str = "",
    tokens_per_s: float | None = None,
    max_running: int | None = None,
    max_waiting: int | None = None,
    max_model_len: int | None = None,
    seed: int = 0,
    adapters: tuple[str, ...] = (),
    metrics: str = "vllm",
    kv_events: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT; running requests then end with an error, as vLLM's do.

    `count` engines listen on consecutive ports from `port` on, and publish on those from the port of `kv_events` on;
    port 0 takes free ones.  Standard output gets a line `engine NAME: http://HOST:PORT` for each.  None means the
    default of Profile; `gpu` is the name or file of a GPU profile, and `tokens_per_s` overrides its speed.
    Raises ValueError for an impossible profile and OSError for a port in use.
    """
    profile = Profile(
        model, name or model, adapters, gpu=load_gpu(gpu) if gpu else DEFAULT_GPU, seed=seed, metrics=metrics,
        **_given(max_waiting=max_waiting, max_model_len=max_model_len),
    )  # fmt: skip
    speed = steady(tokens_per_s) if tokens_per_s else None
    profile = replace(profile, gpu=replace(profile.gpu, **_given(speed=speed, max_running=max_running)))
    uvloop.run(_serve_until_signal(profile, host, port, count, kv_events))


@asynccontextmanager
async def running_engine(
    profile: Profile, host: str = "127.0.0.1", port: int = 0, kv_events: str = ""
) -> AsyncIterator[RunningEngine]:
    """Run an engine on the running loop; it accepts requests inside the block and has stopped after it."""
    listener = _listen(host, port)
    address = _address(listener)
    clock = time.time  # noqa: TID251  # a composition root: the clock is made here
    with _kv_events(kv_events, f"kv@{address}@{profile.model}", profile, clock) as events:
        engine = AsyncEngine(profile, clock, events)
        server = _Server(engine)
        task = asyncio.create_task(server.serve(sockets=[listener]), name=f"simulated engine {profile.name}")
        await server.ready.wait()
        try:
            yield RunningEngine(address, engine, server.stop)
        finally:
            server.stop()
            await task


@contextmanager
def _kv_events(endpoint: str, topic: str, profile: Profile, clock: Callable[[], float]) -> Iterator["KvEvents | None"]:
    """Publish events inside the block; None = there is no endpoint."""
    if not endpoint:
        yield None
        return
    from simulator.serving.kv_events import KvEvents  # noqa: PLC0415 - importing ZMQ delays a start that does not need it

    with closing(KvEvents(endpoint, topic, profile.gpu.block_tokens, clock)) as events:
        yield events


async def _serve_until_signal(profile: Profile, host: str, port: int, count: int, kv_events: str) -> None:
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    async with AsyncExitStack() as blocks:
        engines = []
        for index in range(count):
            each = replace(profile, name=f"{profile.name}-{index + 1}") if count > 1 else profile
            block = running_engine(each, host, port + index if port else 0, _next_port(kv_events, index))
            engines.append(await blocks.enter_async_context(block))
            sys.stdout.write(f"engine {each.name}: {engines[-1].url}\n")
        sys.stdout.flush()
        await signalled.wait()
        for engine in engines:  # all at once, because each takes a moment to shut down
            engine.stop()


def _next_port(endpoint: str, index: int) -> str:
    """Return the endpoint with `index` added to its port: `tcp://127.0.0.1:5557` -> `tcp://127.0.0.1:5558`."""
    head, _, port = endpoint.rpartition(":")
    if not endpoint or not index:
        return endpoint
    if not port.isdecimal():
        raise ValueError(f"kv_events = {endpoint!r}, must end in a port that can be counted up for several engines")
    return f"{head}:{int(port) + index}"


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also passes the application a way to close its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"abort": self.transport.abort}}


class _Server(uvicorn.Server):
    """uvicorn that shuts down as vLLM does: requests end with an error instead of delaying the exit."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(
            uvicorn.Config(
                application(engine), http=_Protocol, ws="none", lifespan="off", access_log=False, log_level="warning",
                timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=EXIT_S, backlog=BACKLOG,
            )
        )  # fmt: skip
        self._engine = engine
        self.ready = asyncio.Event()

    def stop(self) -> None:
        """Begin to shut down."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._engine.die()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not handle signals: the process that runs the engines does."""
        yield


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # A chosen port is shared, because who chose it may hold it with a socket of its own (forebay.local.ports).
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=port != 0)
    # Connections inherit the option.  asyncio sets it only on sockets whose protocol number is TCP's, and here it is 0;
    # without it the first token waits 40 ms for the acknowledgement of the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
