"""Places that profiles go to: a file, or Redis under the key that optimizers and gateways read.

Either holds the old profile or the new one, never a part: a file is replaced, and a key is set by one command.

Lives here: parsing and writing them.  Not here: the profile's fields (making), reading them (profiles.profile).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from redis import Redis
from redis.exceptions import RedisError

from optimizer.input.reading import InputError

SCHEMES = ("redis://", "rediss://")
TIMEOUT_S = 10.0
"""Seconds that Redis may take (chosen)."""


class UnwrittenError(OSError):
    """A profile could not be written; what was there before still is."""


def profile_key(model: str, deployment: str) -> str:
    """Return the key of a deployment's profile (docs/contracts.md, section 6)."""
    return f"aibrix:profile_{model}_{deployment}"


def redis_target(target: str) -> tuple[str, str]:
    """Return the URL and the model of `redis://[user:password@]host[:port][/db]?model=M`.  Raises InputError."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    models = query.pop("model", [])
    problems = []
    if len(models) != 1:
        problems.append("the Redis URL must end with ?model=NAME: profiles are kept by model")
    try:
        if not parts.hostname or parts.port == 0:
            problems.append("the Redis URL has no host")
    except ValueError:
        problems.append("the port of the Redis URL must be a number up to 65535")
    if parts.path.strip("/") and not parts.path.strip("/").isdigit():
        problems.append("the path of the Redis URL must be the number of a database")
    if query:
        problems.append(f"{', '.join(query)}: unknown in the Redis URL, known is model")
    if problems:
        raise InputError(problems)
    return urlunsplit(parts._replace(query=urlencode(query, doseq=True))), models[0]


def check(target: str) -> None:
    """Raise InputError for a place that nothing can be written to: before a benchmark takes hours."""
    if target.startswith(SCHEMES):
        redis_target(target)
    elif "://" in target:
        raise InputError([f"{target.partition('://')[0]}://...: must be a file, or begin with redis:// or rediss://"])
    elif not Path(target).absolute().parent.is_dir():
        raise InputError([f"{target}: its directory is not there"])


def write(target: str, page: Mapping[str, Any]) -> str:
    """Write a profile and return where to, without passwords.  Raises InputError and UnwrittenError."""
    text = json.dumps(page, allow_nan=False)
    if target.startswith(SCHEMES):
        return _write_redis(*redis_target(target), str(page["gpu"]), text)
    write_file(Path(target), text)
    return target


def write_file(path: Path, text: str) -> None:
    """Replace a file.  Raises UnwrittenError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(f"{text}\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UnwrittenError(f"{path}: cannot be written: {error.strerror}") from error


def _write_redis(url: str, model: str, deployment: str, text: str) -> str:
    key = profile_key(model, deployment)
    try:
        with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as redis:
            redis.set(key, text)
    except (RedisError, OSError) as error:
        place = urlsplit(url)
        raise UnwrittenError(f"Redis at {place.hostname}:{place.port or 6379}: {_why(error)}") from error
    return key


def _why(error: Exception) -> str:
    """Return an error's message; those of connections repeat host and port."""
    cause = error.__cause__ or error.__context__
    return str(getattr(cause, "strerror", None) or error)
