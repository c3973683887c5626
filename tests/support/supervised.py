"""`forebay up` and `forebay gateway` with stand-in workers: `python -m tests.support.supervised up|gateway ...`."""

import os
import sys
from pathlib import Path

from gateway.local import service, up, workers
from gateway.serving.launch import Launch
from gateway.settings import Settings


def stand_in(settings: Settings, config_file: Path, index: int, run_dir: Path) -> Launch:
    private = settings.listen.workers[index : index + 1]
    argv = (sys.executable, "-m", "tests.support.worker", settings.listen.http, *private)
    return Launch(argv, dict(os.environ), f"http://{settings.listen.http}/drain")


if __name__ == "__main__":
    workers.worker_launch = stand_in
    command, path, count = sys.argv[1:]
    if command == "up":
        up.run(engines=1, workers=int(count), gpu="", strategy="", data=Path(path))
    else:
        service.run(Path(path), int(count))
