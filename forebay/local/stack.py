"""The parts of `forebay up`: their addresses, the configuration that joins them, and their command lines.

Lives here: which parts there are.  Not here: starting and ending them (forebay.local.up).
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import yaml

from forebay.local.envoy import READY_PATH, envoy_argv
from forebay.local.ports import Ports
from forebay.local.probes import answers_ok
from forebay.local.process import Part
from gateway.config.addresses import split_address
from gateway.config.loading import load
from gateway.config.settings import ListenSettings, Settings
from gateway.discovery.description import FleetDescription
from gateway.envoy.config import render
from routing.table import STRATEGIES

MODEL = "deepseek-r1-distill-llama-8b"
_ENGINE_PORT = 8000
"""The first engine's port, if it is free; the other engines take the next ones."""
_REDIS_PORT = 6379
_DRAIN_S = 1.0
"""Ctrl-C waits this long for answers (chosen): enough for those that are nearly done."""
_DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class Addresses:
    """The address of every part: its usual port if that is free, else any free one."""

    users: str
    envoy_admin: str
    grpc: str
    http: str
    admin: str
    redis: str
    workers: tuple[str, ...]
    engines: tuple[str, ...]

    @classmethod
    def take(cls, ports: Ports, engines: int, workers: int) -> "Addresses":
        """Reserve an address for each part."""

        def usual(address: str) -> str:
            return ports.take(split_address(address)[1])

        envoy, listen = _DEFAULTS.envoy, _DEFAULTS.listen
        return cls(
            users=usual(envoy.listen),
            envoy_admin=usual(envoy.admin),
            grpc=usual(listen.grpc),
            http=usual(listen.http),
            admin=usual(listen.admin),
            redis=ports.take(_REDIS_PORT),
            workers=tuple(ports.take() for _ in range(workers)),
            engines=tuple(ports.take(_ENGINE_PORT + index) for index in range(engines)),
        )

    def shell_variables(self) -> dict[str, str]:
        """Return the addresses as scripts know them (docs/contracts.md section 9)."""
        return {
            "GATEWAY": f"http://{self.users}",
            "ADMIN": f"http://{self.admin}",
            "HTTP": f"http://{self.http}",
            "GRPC": self.grpc,
            "ENVOY_ADMIN": f"http://{self.envoy_admin}",
            "REDIS_URL": f"redis://{self.redis}/0",
            "ENGINES": " ".join(f"http://{address}" for address in self.engines),
            "MODEL": MODEL,
        }


def write_configuration(directory: Path, addresses: Addresses, gpu: str, strategy: str, base: Path | None) -> Path:
    """Write DIR/forebay.yaml and DIR/models.yaml, which may be edited while all runs; return the first.

    The keys of the configuration file `base` are kept, except addresses and models, which are this run's own.  Raises
    ConfigurationError if something is wrong with `base` itself.
    """
    endpoints = [
        {"address": address, "name": engine_name(index), "engine": "vllm", "gpu": Path(gpu).stem}
        for index, address in enumerate(addresses.engines)
    ]
    models = directory / "models.yaml"
    models.write_text(yaml.safe_dump([{"name": MODEL, "endpoints": endpoints}], sort_keys=False))
    given = _given(base)
    config = {
        **{key: value for key, value in given.items() if key != "models"},
        "listen": ListenSettings(
            grpc=addresses.grpc, http=addresses.http, admin=addresses.admin, workers=addresses.workers
        ).model_dump(mode="json"),
        "redis": {**_section(given, "redis"), "url": f"redis://{addresses.redis}/0"},
        "envoy": {
            **_section(given, "envoy"),
            "listen": addresses.users,
            "admin": addresses.envoy_admin,
            "eds_file": str(directory / "envoy" / "endpoints.json"),
        },
        "models_file": models.name,
        "drain_s": given.get("drain_s") or _DRAIN_S,
        **({"routing": {**_section(given, "routing"), "strategy": strategy}} if strategy else {}),
    }
    file = directory / "forebay.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def _given(base: Path | None) -> dict[str, Any]:
    """Return the keys of a configuration file as they are written, after a check that they make a configuration."""
    if base is None:
        return {}
    load(base, os.environ, STRATEGIES)
    return yaml.safe_load(base.read_text()) or {}


def _section(given: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section, empty if it is absent or has no value."""
    return given.get(name) or {}


def engine_name(index: int) -> str:
    """Return the pod's name in headers, counted from 1."""
    return f"engine-{index + 1}"


def engine_parts(addresses: Sequence[str], gpu: str, logs: Path) -> list[Part]:
    """Return the simulated engines, each in a process of its own as a real one would be."""
    return [_engine_part(engine_name(index), address, gpu, logs) for index, address in enumerate(addresses)]


def _engine_part(name: str, address: str, gpu: str, logs: Path) -> Part:
    host, port = split_address(address)
    argv = [sys.executable, "-m", "forebay", "engine", "--model", MODEL, "--name", name, "--host", host]
    argv += ["--port", str(port), *(["--gpu", gpu] if gpu else [])]
    ready = partial(answers_ok, address, "/health")
    advice = "--gpu must name a GPU profile that the simulator knows, or a file that has one." if gpu else ""
    return Part("engine", name, argv, address, ready, log=logs / f"{name}.log", advice=advice)


def envoy_part(settings: Settings, directory: Path, logs: Path) -> Part:
    """Return the Envoy that users talk to, with as many threads as there are workers."""
    config = directory / "envoy" / "envoy.json"
    config.parent.mkdir(exist_ok=True)
    config.write_bytes(orjson.dumps(render(settings, FleetDescription()), option=orjson.OPT_INDENT_2))
    ready = partial(answers_ok, settings.envoy.admin, READY_PATH)
    argv = envoy_argv(settings, config, concurrency=len(settings.listen.workers))
    advice = f"Its configuration is {config}."
    return Part("envoy", "envoy", argv, settings.envoy.listen, ready, log=logs / "envoy.log", advice=advice)
