"""The addresses of `forebay up`, and the configuration that joins its processes.

Lives here: which addresses there are, forebay.yaml and models.yaml.  Not here: the processes (redis, engines, workers,
envoy), starting them (forebay.local.up).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from forebay.local.engines import MODEL, engine_name
from forebay.local.ports import Ports
from forebay.local.records import write_atomically
from gateway.config.addresses import reachable_address, split_address
from gateway.config.loading import load
from gateway.config.settings import ListenSettings, Settings
from routing.table import STRATEGIES

_FIRST_ENGINE_PORT = 8000
"""The preferred port of the first engine; the other engines prefer the ports that follow."""
_CONSOLE_PORT = 8070
_REDIS_PORT = 6379
"""Redis's usual port."""
_DRAIN_S = 1.0
"""`drain_s` where the base configuration has none, in seconds: enough for an answer that is nearly complete, and short
for the user who pressed Ctrl-C (chosen)."""
_DEFAULTS = Settings()


class Base(NamedTuple):
    """The configuration to start from: its settings, and its content as it stands in the file."""

    settings: Settings = _DEFAULTS
    content: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @classmethod
    def read(cls, file: Path | None) -> "Base":
        """Read the file; without one everything has its default.  Raises ConfigurationError when it is not valid."""
        if file is None:
            return cls()
        settings = load(file, os.environ, STRATEGIES)
        return cls(settings, yaml.safe_load(file.read_text()) or {})

    @property
    def has_models(self) -> bool:
        """Whether it says where the engines are."""
        return bool(self.settings.models or self.settings.models_file or self.settings.kubernetes.enabled)

    @property
    def has_strategy(self) -> bool:
        """Whether it names a routing strategy."""
        return "strategy" in self.section("routing")

    def section(self, name: str) -> dict[str, Any]:
        """Return a section of the file; one without a value stands for its defaults and is empty."""
        return self.content.get(name) or {}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The address of each process: the one in the base configuration, or its default where that is free."""

    users: str
    envoy_admin: str
    grpc: str
    http: str
    admin: str
    redis: str
    workers: tuple[str, ...]
    engines: tuple[str, ...]
    optimizer: str = ""
    """Empty where none runs."""
    console: str = ""
    """The same."""

    @classmethod
    def take(
        cls, ports: Ports, engines: int, workers: int, base: Settings = _DEFAULTS, *, has_optimizer: bool = False,
        has_console: bool = False,
    ) -> "Addresses":  # fmt: skip
        """Hold an address for each process.  Raises AddressError for one of the base configuration that is in use."""

        def held(section: str, key: str) -> str:
            wanted, usual = (getattr(getattr(settings, section), key) for settings in (base, _DEFAULTS))
            if wanted != usual:
                return ports.hold(f"{section}.{key}", wanted)
            return ports.take(split_address(usual)[1])

        return cls(
            users=held("envoy", "listen"),
            envoy_admin=held("envoy", "admin"),
            grpc=held("listen", "grpc"),
            http=held("listen", "http"),
            admin=held("listen", "admin"),
            redis=ports.take(_REDIS_PORT),
            workers=tuple(ports.take() for _ in range(workers)),
            engines=tuple(ports.take(_FIRST_ENGINE_PORT + index) for index in range(engines)),
            optimizer=ports.take() if has_optimizer else "",
            console=ports.take(_CONSOLE_PORT) if has_console else "",
        )

    def shell_variables(self, settings: Settings = _DEFAULTS) -> dict[str, str]:
        """Return the addresses by the names of shell variables that scripts use (docs/contracts.md section 9).

        `settings` say which of them speak TLS.
        """
        listen = settings.listen
        others = {"OPTIMIZER": f"http://{self.optimizer}", "CONSOLE": f"http://{self.console}/console/"}
        return {
            "GATEWAY": f"{settings.envoy.scheme}://{reachable_address(self.users)}",
            "ADMIN": f"{listen.scheme('admin')}://{reachable_address(self.admin)}",
            "HTTP": f"{listen.scheme('http')}://{reachable_address(self.http)}",
            "GRPC": reachable_address(self.grpc),
            "ENVOY_ADMIN": f"http://{reachable_address(self.envoy_admin)}",
            "REDIS_URL": f"redis://{self.redis}/0",
        } | {name: url for name, url in others.items() if getattr(self, name.lower())}


def write_configuration(
    directory: Path, addresses: Addresses, strategy: str, base: Base, models_file: Path | None
) -> Path:
    """Write DIR/forebay.yaml, which may be edited while it runs, and return its path.

    The keys of `base` are kept, except addresses, which are this run's own, and models where there is a models file.
    """
    config = {
        **base.content,
        "listen": ListenSettings(
            grpc=addresses.grpc,
            http=addresses.http,
            admin=addresses.admin,
            workers=addresses.workers,
            tls=base.settings.listen.tls,  # absolute, where the base's are relative to its folder
        ).model_dump(mode="json", exclude_unset=True),
        "redis": {**base.section("redis"), "url": f"redis://{addresses.redis}/0"},
        "envoy": {
            **base.section("envoy"),
            "listen": addresses.users,
            "admin": addresses.envoy_admin,
            "gateways": [],
            "eds_file": str(directory / "envoy" / "endpoints.json"),
            "tls": base.settings.envoy.tls.model_dump(),
            "gateway_tls": base.settings.envoy.gateway_tls.model_dump(),
        },
        "drain_s": base.content.get("drain_s") or _DRAIN_S,
    }
    if base.settings.pools:  # of which files are relative too
        config["pools"] = [pool.model_dump(mode="json", exclude_unset=True) for pool in base.settings.pools]
    if base.settings.kubernetes.enabled:  # its path, too, is relative to the base's folder
        config["kubernetes"] = base.settings.kubernetes.model_dump() | {"enabled": models_file is None}
    if models_file:
        config["models"] = []
        config["picker"] = {**base.section("picker"), "service": ""}  # it follows pools of the cluster
    if models_file or base.settings.models_file:
        config["models_file"] = str((models_file or Path(base.settings.models_file)).absolute())
    if strategy:
        config["routing"] = {**base.section("routing"), "strategy": strategy}
    file = directory / "forebay.yaml"
    write_atomically(file, yaml.safe_dump(config, sort_keys=False).encode())
    return file


def write_simulated_models(directory: Path, engines: tuple[str, ...], gpu: str, pool: str = "") -> Path:
    """Write DIR/models.yaml with the simulated engines at these addresses, all in one pool; return its path."""
    endpoints = [
        {
            "address": address,
            "name": engine_name(index),
            "engine": "vllm",
            "gpu": Path(gpu).stem,
            "adapters": "auto",
            "pool": pool,
        }
        for index, address in enumerate(engines)
    ]
    models = directory / "models.yaml"
    write_atomically(models, yaml.safe_dump([{"name": MODEL, "endpoints": endpoints}], sort_keys=False).encode())
    return models
