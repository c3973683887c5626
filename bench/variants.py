"""The variants that are compared: Envoy alone, an empty processor and Forebay, by response mode.

Lives here: which processes a variant has and how they are wired.  Not here: the requests (workloads).
A new variant is a function in VARIANTS.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import orjson

from bench.envoy_alone import Json, render_alone
from bench.processes import cpu_seconds, free_port, python_module, running
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
    SharingSettings,
)
from gateway.discovery.models import describe
from gateway.envoy.config import render
from gateway.worker.launch import worker_launch

ENVOY, GATEWAY, REDIS = "envoy", "gateway", "redis"
ROLES = (GATEWAY, ENVOY, REDIS)
"""Kinds of processes whose CPU is reported."""

Mode = Literal["metadata", "ext_proc"]


@dataclass(frozen=True, slots=True)
class Running:
    """A started variant: the port for requests, and process ids by role."""

    port: int
    pids: Mapping[str, Sequence[int]]

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time so far, by role."""
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self.pids.items()}


Start = Callable[[int, Path], AbstractContextManager[Running]]
"""Starts a variant on a backend's port with an empty directory; the variant is stopped after the block."""


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"


def settings_for(
    *backends: int, mode: Mode = "metadata", fail_open: bool = False, workers: int = 1, shares: bool = True
) -> Settings:
    """Return settings with free ports and the backends as the endpoints of the only model."""
    endpoints = tuple(EndpointSettings(address=_local(port), name=f"pod-{n}") for n, port in enumerate(backends))
    private = tuple(_local(free_port()) for _ in range(workers)) if workers > 1 else ()
    grpc, http, admin = (_local(free_port()) for _ in range(3))
    return Settings(
        listen=ListenSettings(grpc=grpc, http=http, admin=admin, workers=private),
        redis=RedisSettings(url=f"redis://{_local(free_port())}/0"),
        envoy=EnvoySettings(listen=_local(free_port()), admin=_local(free_port()), fail_open=fail_open),
        sharing=SharingSettings(enabled=shares),
        response_mode=mode,
        log_level="warning",
        models=(ModelSettings(name=MODEL, endpoints=endpoints),),
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
        yield Running(port_of(settings.envoy.listen), {ENVOY: [envoy]})


def empty_processor(mode: Mode, workers: int = 1, program: Path | None = None) -> Start:
    """Return the start of an empty processor, in as many processes, behind Forebay's Envoy configuration.

    It is the one in Python, or `program` on one core.  `fail_open` makes Envoy choose the endpoint, since the processor
    does not.
    """

    @contextlib.contextmanager
    def start(backend: int, directory: Path) -> Iterator[Running]:
        settings = settings_for(backend, mode=mode, fail_open=True, workers=workers)
        with ExitStack() as stack:
            processors = []
            for number, address in enumerate(settings.listen.workers or (settings.listen.grpc,)):
                port = str(port_of(address))
                argv = python_module("bench.processor", port) if program is None else (str(program), port)
                process = running(f"{GATEWAY}-{number}", argv, port_of(address), directory, {"GOMAXPROCS": "1"})
                processors.append(stack.enter_context(process))
            envoy = stack.enter_context(_envoy(settings, render(settings, describe(settings.models)), directory))
            yield Running(port_of(settings.envoy.listen), {GATEWAY: processors, ENVOY: [envoy]})

    return start


def forebay(mode: Mode, site: Path | None = None, workers: int = 1, *, shares: bool = True) -> Start:
    """Return the start of `serving` in front of the backend."""

    def start(backend: int, directory: Path) -> AbstractContextManager[Running]:
        return serving(settings_for(backend, mode=mode, workers=workers, shares=shares), directory, site)

    return start


def write_configuration(settings: Settings, directory: Path) -> Path:
    """Write the file of a gateway with these settings, without defaults: one that is written out may need others."""
    file = directory / "forebay.yaml"  # JSON is YAML
    file.write_text(settings.model_dump_json(exclude_unset=True))
    return file


@contextlib.contextmanager
def gateway_and_redis(
    settings: Settings, directory: Path, site: Path | None = None, watch: Path | None = None
) -> Iterator[dict[str, Sequence[int]]]:
    """Start Redis and the gateway, with a user whose limits are never reached; yield process ids by role.

    `site` is the directory of compiled packages (`make compiled`).  `watch`: a worker alone runs, and writes the lags
    of its loop there.
    """
    env: dict[str, str] = (
        {} if site is None else {"PYTHONPATH": f"{site.resolve()}:{Path.cwd()}", "PYTHONSAFEPATH": "1"}
    )
    file = write_configuration(settings, directory)
    redis_port = port_of(settings.redis.url.removesuffix("/0"))
    gateway_argv: tuple[str, ...] = (str(Path(sys.executable).with_name("forebay")), "gateway", "--config", str(file))
    if watch is not None:
        gateway_argv = python_module("bench.watch", str(watch))
        env = {**worker_launch(file, 0, _local(free_port())).env, **env}
    with ExitStack() as stack:
        redis = stack.enter_context(running(REDIS, redis_argv(redis_port), redis_port, directory))
        gateway = stack.enter_context(running(GATEWAY, gateway_argv, port_of(settings.listen.grpc), directory, env))
        user = {"name": USER, "rpm": 10**9, "tpm": 10**12}
        httpx.post(f"http://{settings.listen.admin}/CreateUser", json=user, trust_env=False).raise_for_status()
        yield {GATEWAY: [gateway], REDIS: [redis]}


@contextlib.contextmanager
def serving(
    settings: Settings, directory: Path, site: Path | None = None, watch: Path | None = None
) -> Iterator[Running]:
    """Start `gateway_and_redis` and Envoy."""
    with (
        gateway_and_redis(settings, directory, site, watch) as pids,
        _envoy(settings, render(settings, describe(settings.models)), directory) as envoy,
    ):
        yield Running(port_of(settings.envoy.listen), {**pids, ENVOY: [envoy]})


def redis_argv(port: int) -> tuple[str, ...]:
    """Return the command line of a Redis without persistence."""
    return (str(newest_server()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


ALONE = "Envoy alone"
EMPTY = "empty grpc.aio"
EMPTY_GO = "empty grpc-go"
FOREBAY = "Forebay"
COMPILED = "Forebay, compiled"
TWO_WORKERS = ", two workers"
"""Suffix of variants with two workers, which have twice the load of one."""
NOT_SHARING = ", not sharing"
"""Suffix of those that do not tell each other anything."""
EXT_PROC_MODE = ", ext_proc mode"
"""Suffix of variants in ext_proc mode.  They run streams only, since elsewhere the modes differ by two messages."""


def by_workers(name: str, site: Path | None = None) -> dict[str, Start]:
    """Return the variants of this name with one worker, with two, and with two that do not share."""
    return {
        name: forebay("metadata", site),
        name + TWO_WORKERS: forebay("metadata", site, workers=2),
        name + TWO_WORKERS + NOT_SHARING: forebay("metadata", site, workers=2, shares=False),
    }


VARIANTS: Mapping[str, Start] = {
    ALONE: envoy_alone,
    EMPTY: empty_processor("metadata"),
    EMPTY + TWO_WORKERS: empty_processor("metadata", workers=2),
    EMPTY + EXT_PROC_MODE: empty_processor("ext_proc"),
    **by_workers(FOREBAY),
    FOREBAY + EXT_PROC_MODE: forebay("ext_proc"),
}
"""Every variant but the compiled ones, by name."""


def variants(site: Path | None, floor: Path | None = None) -> dict[str, Start]:
    """Return all variants, with the compiled ones where there are compiled packages, and with the program `floor`."""
    found = {}
    for name, start in VARIANTS.items():
        found[name] = start
        if name == EMPTY and floor is not None:
            found[EMPTY_GO] = empty_processor("metadata", program=floor)
    return {**found, **(by_workers(COMPILED, site) if site is not None else {})}
