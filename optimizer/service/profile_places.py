"""The places of profiles: the key of each deployment in Redis, files and folders, and the bundled ones.

Keys are exact, `aibrix:profile_{model}_{deployment}` (docs/contracts.md, section 6): the name of one model may begin
with another's, and a pattern would find both.

Lives here: reading.  Not here: which of several counts (profile_shelf).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optimizer.planning.deployments import Deployment
from optimizer.service.profile_shelf import Found, Offered
from traffic.connection import Connection

BUNDLED = "bundled"
"""In place of a file: the profiles that come with Forebay."""
MOST_BYTES = 4 << 20
"""A longer file or text is no profile (chosen: that of 1,000 x 1,000 lengths would be as long)."""

NO_TEXT = b"(the key holds no text)"


def profile_key(model: str, deployment: str) -> str:
    """Return the key of a deployment's profile."""
    return f"aibrix:profile_{model}_{deployment}"


class ProfilePlaces:
    """The profiles behind a connection, in files and folders, and those that are bundled: text by GPU type."""

    def __init__(self, connection: Connection, files: Sequence[Path], bundled: Mapping[str, bytes]) -> None:
        self._connection = connection
        self._files = files
        self._bundled = bundled

    async def in_redis(self, deployments: Sequence[Deployment]) -> dict[str, bytes]:
        """Return the texts in Redis by key.  Raises RedisAwayError."""
        keys = list(dict.fromkeys(profile_key(each.model, each.name) for each in deployments))
        if not keys:
            return {}
        async with self._connection.calls() as redis, redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.getrange(key, 0, MOST_BYTES)
            texts = await pipe.execute(raise_on_error=False)
        found = {key: text for key, text in zip(keys, texts, strict=True) if text}
        return {key: NO_TEXT if isinstance(text, Exception) else text for key, text in found.items()}

    def offers(
        self, deployments: Sequence[Deployment], in_redis: Mapping[str, bytes]
    ) -> tuple[dict[Deployment, Offered], tuple[str, ...]]:
        """Read the files; return what there is for each deployment, and a line for each file of no deployment."""
        files = list(self._read_files(deployments))
        offers = {each: self._offered(each, in_redis, files) for each in deployments}
        taken = {found.place for offered in offers.values() for found in offered.own}
        unknown = [
            f"{found.place}: gpu = {json.dumps(_gpu_of(found.text))}, must be the name of a known deployment"
            for found in files
            if found.place not in taken
        ]
        return offers, tuple(unknown)

    def _offered(self, deployment: Deployment, in_redis: Mapping[str, bytes], files: Sequence[Found]) -> Offered:
        key = profile_key(deployment.model, deployment.name)
        own = [Found(f"key {key}", in_redis[key])] if key in in_redis else []
        own += [each for each in files if deployment.profile == each.place or deployment.name == _gpu_of(each.text)]
        named = [name for name in (deployment.profile, deployment.gpu) if name in self._bundled]
        bundled = [Found(f"{BUNDLED} {name}", self._bundled[name]) for name in named[:1]]
        looked_at = [f"key {key}", *map(str, self._files)]
        looked_at += [deployment.profile] if deployment.profile else []
        looked_at += [f"{BUNDLED} {deployment.gpu or '(it has no GPU type)'}"] if self._bundled else []
        return Offered(own, bundled, looked_at)

    def _read_files(self, deployments: Iterable[Deployment]) -> Iterator[Found]:
        named = [Path(each.profile) for each in deployments if each.profile and each.profile not in self._bundled]
        paths = dict.fromkeys([*named, *(file for path in self._files for file in _files_of(path))])
        for path in paths:
            yield Found(str(path), _text_of(path))


def _files_of(path: Path) -> Sequence[Path]:
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _text_of(path: Path) -> bytes:
    """Return the content, empty if it cannot be read, which is no profile."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return b""


def _gpu_of(text: bytes) -> Any:
    """Return the deployment that a profile is for."""
    try:
        return json.loads(text)["gpu"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return ""
