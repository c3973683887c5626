"""`forebay up` and `forebay gateway` with stand-in workers: `python -m tests.support.supervised up|gateway ...`."""

import sys
from pathlib import Path

from gateway.config.settings import Settings
from gateway.local import service, up, workers
from gateway.serving.launch import Launch
from tests.support.ports import free_address


def stand_in(settings: Settings, config_file: Path, index: int) -> Launch:
    address = settings.listen.workers[index] if settings.listen.workers else free_address()
    argv = (sys.executable, "-m", "tests.support.worker", settings.listen.http, address)
    return Launch(argv, {}, address)


if __name__ == "__main__":
    workers.worker_launch = stand_in
    command, path, count = sys.argv[1:]
    if command == "up":
        up.run(engines=1, workers=int(count), gpu="", strategy="", data=Path(path))
    else:
        service.run(Path(path), int(count))
