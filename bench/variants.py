"""What is measured side by side: Envoy alone, an empty processor, Forebay; each in its response modes.

Lives here: which processes a variant has and how they are joined.  Not here: what is asked of them (workloads).
A new variant is a function in VARIANTS.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import orjson

from bench.envoy_alone import Json, render_alone
from bench.processes import free_port, python_module, running
from bench.workloads import MODEL, USER
from forebay.local.envoy import envoy_argv
from forebay.local.redis import newest_server
from gateway.config.settings import (
    EndpointSettings,
    EnvoySettings,
    ListenSettings,
    ModelSettings,
    RedisSettings,
    Settings,
)
from gateway.discovery.models import describe
from gateway.envoy.config import render

ENVOY, GATEWAY, REDIS = "envoy", "gateway", "redis"
ROLES = (GATEWAY, ENVOY, REDIS)

Mode = Literal["metadata", "ext_proc"]


@dataclass(frozen=True, slots=True)
class Running:
    """A started variant: where requests go and whose CPU time counts."""

    port: int
    pids: Mapping[str, int]


Start = Callable[[int, Path], AbstractContextManager[Running]]
"""Backend port and an empty directory -> a running variant, ended when the block is left."""


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"


def settings_for(backend: int, mode: Mode = "metadata", *, fail_open: bool = False) -> Settings:
    """Settings with free ports and the backend as the only endpoint of the only model."""
    endpoint = EndpointSettings(address=_local(backend), name="bench-pod")
    return Settings(
        listen=ListenSettings(grpc=_local(free_port()), http=_local(free_port()), admin=_local(free_port())),
        redis=RedisSettings(url=f"redis://{_local(free_port())}/0"),
        envoy=EnvoySettings(listen=_local(free_port()), admin=_local(free_port()), fail_open=fail_open),
        response_mode=mode,
        log_level="warning",
        models=(ModelSettings(name=MODEL, endpoints=(endpoint,)),),
    )


def port_of(address: str) -> int:
    """`host:port` -> port."""
    return int(address.rpartition(":")[2])


def _envoy(settings: Settings, config: Json, directory: Path) -> AbstractContextManager[int]:
    file = directory / "envoy.json"
    file.write_bytes(orjson.dumps(config))
    return running(ENVOY, envoy_argv(settings, file, concurrency=1), port_of(settings.envoy.listen), directory)


@contextlib.contextmanager
def envoy_alone(backend: int, directory: Path) -> Iterator[Running]:
    """Client - Envoy - backend."""
    settings = settings_for(backend)
    with _envoy(settings, render_alone(settings), directory) as envoy:
        yield Running(port_of(settings.envoy.listen), {ENVOY: envoy})


def empty_processor(mode: Mode) -> Start:
    """Forebay's Envoy configuration before the empty processor; open failure lets Envoy choose the endpoint itself."""

    @contextlib.contextmanager
    def start(backend: int, directory: Path) -> Iterator[Running]:
        settings = settings_for(backend, mode, fail_open=True)
        port = port_of(settings.listen.grpc)
        with (
            running(GATEWAY, python_module("bench.processor", str(port)), port, directory) as processor,
            _envoy(settings, render(settings, describe(settings.models)), directory) as envoy,
        ):
            yield Running(port_of(settings.envoy.listen), {GATEWAY: processor, ENVOY: envoy})

    return start


def forebay(mode: Mode, site: Path | None = None) -> Start:
    """The whole of it: Redis, one gateway worker, Envoy; a user with limits that are counted and never reached.

    `site` is where compiled packages are (`make compiled`).
    """
    env = {} if site is None else {"PYTHONPATH": str(site.resolve()), "PYTHONSAFEPATH": "1"}

    @contextlib.contextmanager
    def start(backend: int, directory: Path) -> Iterator[Running]:
        settings = settings_for(backend, mode)
        file = directory / "forebay.yaml"  # JSON is YAML
        file.write_text(settings.model_dump_json())
        redis_port = port_of(settings.redis.url.removesuffix("/0"))
        gateway_argv = (str(Path(sys.executable).with_name("forebay")), "gateway", "--config", str(file))
        with ExitStack() as stack:
            redis = stack.enter_context(running(REDIS, redis_argv(redis_port), redis_port, directory))
            gateway = stack.enter_context(running(GATEWAY, gateway_argv, port_of(settings.listen.grpc), directory, env))
            envoy = stack.enter_context(_envoy(settings, render(settings, describe(settings.models)), directory))
            user = {"name": USER, "rpm": 10**9, "tpm": 10**12}
            httpx.post(f"http://{settings.listen.admin}/CreateUser", json=user, trust_env=False).raise_for_status()
            yield Running(port_of(settings.envoy.listen), {GATEWAY: gateway, ENVOY: envoy, REDIS: redis})

    return start


def redis_argv(port: int) -> tuple[str, ...]:
    """A Redis that keeps nothing."""
    return (str(newest_server()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


ALONE = "Envoy alone"
EMPTY = "empty grpc.aio"
FOREBAY = "Forebay"
COMPILED = "Forebay, compiled"
IN_BODY_MODE = ", ext_proc mode"

VARIANTS: Mapping[str, Start] = {
    ALONE: envoy_alone,
    EMPTY: empty_processor("metadata"),
    EMPTY + IN_BODY_MODE: empty_processor("ext_proc"),
    FOREBAY: forebay("metadata"),
    FOREBAY + IN_BODY_MODE: forebay("ext_proc"),
}
"""Those in ext_proc mode are asked for streams only: elsewhere the modes differ by two messages."""


def variants(site: Path | None) -> dict[str, Start]:
    """All of them; the compiled one where there are compiled packages."""
    return {**VARIANTS, **({COMPILED: forebay("metadata", site)} if site is not None else {})}
