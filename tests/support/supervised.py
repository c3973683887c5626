"""`forebay up` and `forebay gateway` with stand-in workers: `python -m tests.support.supervised up|gateway ...`."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

from forebay.local import service, up, workers
from forebay.local.engines import Engines
from forebay.local.ports import Ports
from gateway.config.loading import load
from gateway.worker.launch import METRICS_VARIABLE, Launch
from routing.table import STRATEGIES


def stand_in(config_file: Path, index: int, address: str, metrics_dir: Path) -> Launch:
    http = load(config_file, {}, STRATEGIES).listen.http
    argv = (sys.executable, "-m", "tests.support.worker", http, address)
    return Launch(argv, {METRICS_VARIABLE: str(metrics_dir)}, address)


def robbed(ports: Ports, address: str, release: Callable[[Ports, str], None] = Ports.release) -> None:
    """Let go of the address, the first time to somebody else."""
    release(ports, address)
    if not ROBBERS:
        host, _, port = address.rpartition(":")
        ROBBERS.append(socket.create_server((host, int(port))))


ROBBERS: list[socket.socket] = []


def broken(_config_file: Path, _index: int, address: str, _metrics_dir: Path) -> Launch:
    return Launch((sys.executable, "-c", "raise SystemExit(1)"), {}, address)


if __name__ == "__main__":
    command, path, count, *base = sys.argv[1:]
    if "robbed" in command:
        Ports.release = robbed
    workers.worker_launch = broken if "broken" in command else stand_in
    if command.startswith("up"):
        up.run(
            engines=Engines(1),
            workers=int(count),
            gpu="",
            strategy="",
            data=Path(path),
            base=Path(base[0]) if base else None,
        )
    else:
        service.run(Path(path), int(count))
