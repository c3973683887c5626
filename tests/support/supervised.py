"""`forebay up` and `forebay gateway` with stand-in workers: `python -m tests.support.supervised up|gateway ...`."""

import sys
from pathlib import Path

from forebay.local import service, up, workers
from gateway.config.settings import Settings
from gateway.worker.launch import METRICS_VARIABLE, Launch
from tests.support.ports import free_address


def stand_in(settings: Settings, config_file: Path, index: int, metrics_dir: Path) -> Launch:
    address = settings.listen.workers[index] if settings.listen.workers else free_address()
    argv = (sys.executable, "-m", "tests.support.worker", settings.listen.http, address)
    return Launch(argv, {METRICS_VARIABLE: str(metrics_dir)}, address)


if __name__ == "__main__":
    workers.worker_launch = stand_in
    command, path, count, *base = sys.argv[1:]
    if command == "up":
        up.run(
            engines=1, workers=int(count), gpu="", strategy="", data=Path(path), base=Path(base[0]) if base else None
        )
    else:
        service.run(Path(path), int(count))
