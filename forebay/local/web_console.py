"""The web console of `forebay up`: its process.

Lives here: its command line.  Not here: its pages (console).
"""

import sys
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from forebay.local.supervision.probes import answers_ok
from forebay.local.supervision.process import ProcessSpec
from gateway.config.settings import Settings


def can_run() -> bool:
    """Return whether the extra `console` is installed."""
    return find_spec("dash") is not None


def console_spec(address: str, urls: Mapping[str, str], settings: Settings, log: Path) -> ProcessSpec:
    """Describe the console's process; `urls` are the shell variables with the gateway's addresses."""
    argv = [sys.executable, "-m", "forebay", "console", "--listen", address, "--port-is-held"]
    argv += ["--http", urls["HTTP"], "--admin", urls["ADMIN"], "--gateway", urls["GATEWAY"]]
    ready = partial(answers_ok, address, "/console/login" if settings.admin_token else "/console/")
    token = {"ADMIN_TOKEN": settings.admin_token}  # an empty one stands for that of the user's shell
    return ProcessSpec("console", "console", argv, address, ready, env=token, log=log)
