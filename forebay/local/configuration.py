"""The addresses of `forebay up`, and the configuration that joins its processes.

Lives here: which addresses there are, forebay.yaml and models.yaml.  Not here: the processes (redis, engines, workers,
envoy), starting them (forebay.local.up).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from forebay.local.engines import MODEL, engine_name
from forebay.local.ports import Ports
from forebay.local.records import write_atomically
from gateway.config.addresses import split_address
from gateway.config.loading import load
from gateway.config.settings import ListenSettings, Settings
from routing.table import STRATEGIES

_FIRST_ENGINE_PORT = 8000
"""The preferred port of the first engine; the other engines prefer the ports that follow."""
_REDIS_PORT = 6379
"""Redis's usual port."""
_DRAIN_S = 1.0
"""`drain_s` where the base configuration has none, in seconds: enough for an answer that is nearly complete, and short
for the user who pressed Ctrl-C (chosen)."""
_DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each process listens: at its default address where that is free."""

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
        """Reserve an address for each process."""

        def preferring(address: str) -> str:
            return ports.take(split_address(address)[1])

        envoy, listen = _DEFAULTS.envoy, _DEFAULTS.listen
        return cls(
            users=preferring(envoy.listen),
            envoy_admin=preferring(envoy.admin),
            grpc=preferring(listen.grpc),
            http=preferring(listen.http),
            admin=preferring(listen.admin),
            redis=ports.take(_REDIS_PORT),
            workers=tuple(ports.take() for _ in range(workers)),
            engines=tuple(ports.take(_FIRST_ENGINE_PORT + index) for index in range(engines)),
        )

    def shell_variables(self) -> dict[str, str]:
        """Return the addresses by the names of shell variables that scripts use (docs/contracts.md section 9)."""
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
    """Write DIR/forebay.yaml and DIR/models.yaml, which may be edited while it runs; return the path of the first.

    `base` is a configuration file whose keys are kept, except addresses and models, which are this run's own.
    Raises ConfigurationError when that file is not valid by itself.
    """
    endpoints = [
        {"address": address, "name": engine_name(index), "engine": "vllm", "gpu": Path(gpu).stem}
        for index, address in enumerate(addresses.engines)
    ]
    models = directory / "models.yaml"
    write_atomically(models, yaml.safe_dump([{"name": MODEL, "endpoints": endpoints}], sort_keys=False).encode())
    kept = _read_base(base)
    config = {
        **{key: value for key, value in kept.items() if key != "models"},
        "listen": ListenSettings(
            grpc=addresses.grpc, http=addresses.http, admin=addresses.admin, workers=addresses.workers
        ).model_dump(mode="json"),
        "redis": {**_section(kept, "redis"), "url": f"redis://{addresses.redis}/0"},
        "envoy": {
            **_section(kept, "envoy"),
            "listen": addresses.users,
            "admin": addresses.envoy_admin,
            "eds_file": str(directory / "envoy" / "endpoints.json"),
        },
        "models_file": models.name,
        "drain_s": kept.get("drain_s") or _DRAIN_S,
        **({"routing": {**_section(kept, "routing"), "strategy": strategy}} if strategy else {}),
    }
    file = directory / "forebay.yaml"
    write_atomically(file, yaml.safe_dump(config, sort_keys=False).encode())
    return file


def _read_base(base: Path | None) -> dict[str, Any]:
    """Return the content of the base file as it stands there; it is checked first, so it is a mapping of mappings."""
    if base is None:
        return {}
    load(base, os.environ, STRATEGIES)
    return yaml.safe_load(base.read_text()) or {}


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of the file; one without a value stands for its defaults and is empty."""
    return config.get(name) or {}
