"""How a worker process is started: its command line and environment.

Not here: who supervises it (gateway.local), what runs inside (plain_worker).
"""

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.settings import Settings
from gateway.serving.variables import ADDRESS_VARIABLE, CONFIG_VARIABLE, INDEX_VARIABLE


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker process; `env` is to be added to the parent's.  SIGTERM drains it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    address: str  # its private gRPC address


def worker_launch(settings: Settings, config_file: Path, index: int) -> Launch:
    """Prepare worker `index`; its private address is a free one when the settings name none for it."""
    address = settings.listen.workers[index] if index < len(settings.listen.workers) else f"127.0.0.1:{_free_port()}"
    place = {CONFIG_VARIABLE: str(config_file), INDEX_VARIABLE: str(index), ADDRESS_VARIABLE: address}
    return Launch((sys.executable, "-m", "gateway.serving.plain_worker"), place, address)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
