"""Run one simulated engine: as a process, or inside a test's event loop.

Lives here: the socket, the server, signals, the clock.  Not here: what is served (http).
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.engine import Engine
from simulator.exchange import TRANSPORT
from simulator.http import application
from simulator.profile import Profile, on_gpu

BACKLOG = 4096
"""Connections waiting to be accepted; Linux caps it at somaxconn, 4096 by default."""

IDLE_S = 5
"""Idle connections are closed after this, as vLLM does (uvicorn's default)."""

EXIT_S = 1
"""How long requests that a fault holds may delay the exit."""


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine that answers at `address` (`ip:port`)."""

    address: str
    engine: Engine

    @property
    def url(self) -> str:
        """`http://ip:port`."""
        return f"http://{self.address}"


def serve(
    model: str,
    host: str,
    port: int,
    *,
    name: str = "",
    gpu: str = "",
    ttft_s: float | None = None,
    tokens_per_s: float | None = None,
    max_running: int | None = None,
    max_waiting: int | None = None,
    max_model_len: int | None = None,
    seed: int = 0,
    adapters: tuple[str, ...] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; running requests then end with an error, as vLLM's do.

    Port 0 takes a free one; a line on standard output says `engine NAME: http://HOST:PORT`.  None means the
    default of Profile; `gpu` sets the speed of a GPU type, `ttft_s` and `tokens_per_s` override that.
    Raises ValueError for an impossible profile and OSError for a taken port.
    """
    profile = Profile(model, name or model, adapters, seed=seed)
    profile = on_gpu(profile, gpu) if gpu else profile
    speed = replace(profile.speed, **_given(ttft_s=ttft_s, tokens_per_s=tokens_per_s))
    sizes = _given(max_running=max_running, max_waiting=max_waiting, max_model_len=max_model_len)
    uvloop.run(_serve_until_told(replace(profile, speed=speed, **sizes), host, port))


@asynccontextmanager
async def running_engine(profile: Profile, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[RunningEngine]:
    """An engine on the running loop; it answers inside the block and is gone after it."""
    listener = _listen(host, port)
    address = _address(listener)
    engine = Engine(profile, time.time)  # noqa: TID251  # a composition root: the clock is made here
    server = _Server(engine)
    task = asyncio.create_task(server.serve(sockets=[listener]), name=f"simulated engine {profile.name}")
    await server.ready.wait()
    try:
        yield RunningEngine(address, engine)
    finally:
        server.should_exit = True
        await task


async def _serve_until_told(profile: Profile, host: str, port: int) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with running_engine(profile, host, port) as running:
        sys.stdout.write(f"engine {profile.name}: {running.url}\n")
        sys.stdout.flush()
        await told.wait()


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol that also hands the application its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"abort": self.transport.abort}}


class _Server(uvicorn.Server):
    """uvicorn with vLLM's end: requests end with an error instead of holding the exit back."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(
            uvicorn.Config(
                application(engine), http=_Protocol, ws="none", lifespan="off", access_log=False, log_level="warning",
                timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=EXIT_S, backlog=BACKLOG,
            )
        )  # fmt: skip
        self._engine = engine
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._engine.die()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs the process."""
        yield


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
