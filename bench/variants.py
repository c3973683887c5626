"""The variants that are compared: Envoy alone, an empty processor and Forebay, by response mode.

Lives here: which processes a variant has and how they are wired.  Not here: the requests (workloads).
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
"""Kinds of processes whose CPU is reported."""

Mode = Literal["metadata", "ext_proc"]


@dataclass(frozen=True, slots=True)
class Running:
    """A started variant: the port for requests, and process ids by role."""

    port: int
    pids: Mapping[str, int]


Start = Callable[[int, Path], AbstractContextManager[Running]]
"""Starts a variant on a backend's port with an empty directory; the variant is stopped after the block."""


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"


def settings_for(backend: int, mode: Mode = "metadata", *, fail_open: bool = False) -> Settings:
    """Return settings with free ports and the backend as the only endpoint of the only model."""
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
    """Return the port of `host:port`."""
    return int(address.rpartition(":")[2])


def _envoy(settings: Settings, config: Json, directory: Path) -> AbstractContextManager[int]:
    file = directory / "envoy.json"
    file.write_bytes(orjson.dumps(config))
    return running(ENVOY, envoy_argv(settings, file, concurrency=1), port_of(settings.envoy.listen), directory)


@contextlib.contextmanager
def envoy_alone(backend: int, directory: Path) -> Iterator[Running]:
    """Start an Envoy between client and backend."""
    settings = settings_for(backend)
    with _envoy(settings, render_alone(settings), directory) as envoy:
        yield Running(port_of(settings.envoy.listen), {ENVOY: envoy})


def empty_processor(mode: Mode) -> Start:
    """Return the start of an empty processor behind Forebay's Envoy configuration.

    `fail_open` makes Envoy choose the endpoint, since the processor does not.
    """

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
    """Return the start of Redis, one gateway worker and Envoy, with a user whose limits are never reached.

    `site` is the directory of compiled packages (`make compiled`).
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
    """Return the command line of a Redis without persistence."""
    return (str(newest_server()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


ALONE = "Envoy alone"
EMPTY = "empty grpc.aio"
FOREBAY = "Forebay"
COMPILED = "Forebay, compiled"
EXT_PROC_MODE = ", ext_proc mode"
"""Suffix of variants in ext_proc mode.  They run streams only, since elsewhere the modes differ by two messages."""

VARIANTS: Mapping[str, Start] = {
    ALONE: envoy_alone,
    EMPTY: empty_processor("metadata"),
    EMPTY + EXT_PROC_MODE: empty_processor("ext_proc"),
    FOREBAY: forebay("metadata"),
    FOREBAY + EXT_PROC_MODE: forebay("ext_proc"),
}
"""Every variant but the compiled one, by name."""


def variants(site: Path | None) -> dict[str, Start]:
    """Return all variants, with the compiled one where there are compiled packages."""
    return {**VARIANTS, **({COMPILED: forebay("metadata", site)} if site is not None else {})}
