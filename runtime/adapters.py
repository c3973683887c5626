"""LoRA adapters: loaded at the engine, downloaded before where that is needed; unloaded, and their files removed.

Lives here: names, whether an adapter is there already, where its files go.  Not here: downloading (downloader), how an
engine is asked (engines), HTTP (app).
"""

import asyncio
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

from runtime.downloader import Downloader, DownloadError
from runtime.engines.engine import Engine
from runtime.errors import Problem

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DIGEST_CHARACTERS = 12
"""Hex digits by which the folders of two sources of one adapter differ."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An adapter that should be loaded."""

    name: str
    source: str
    """A path that the engine can read, or the URI of a download."""
    is_path: bool
    """Whether `source` is passed to the engine as it is."""
    folder: Path
    """The folder of downloads."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An adapter that is loaded."""

    path: str
    said: str
    """The engine's words; ours where it was there already."""


class Adapters:
    """The adapters of one engine; two calls for one name go one after the other."""

    def __init__(self, downloader: Downloader) -> None:
        self._downloader = downloader
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def load(self, engine: Engine, wanted: Wanted) -> Loaded:
        """Load an adapter; one that is loaded from the same source already is left as it is.

        Raises Problem: 400 for a name that is none, 409 where the name is taken, and those of engine and download.
        """
        _check_name(wanted.name)
        local = local_path(wanted)
        async with self._turn(wanted.name):
            if _is_taken_by_it(wanted.name, local, await engine.cards()):
                return Loaded(local, f"LoRA adapter '{wanted.name}' is loaded already.")
            if not wanted.is_path:
                await self._download(wanted, Path(local))
            try:
                return Loaded(local, await engine.load_adapter(wanted.name, local))
            except Problem as problem:
                # A call that was repeated after a break may have been done the first time.
                if problem.status == HTTPStatus.CONFLICT and _is_taken_by_it(wanted.name, local, await engine.cards()):
                    return Loaded(local, problem.message)
                raise

    async def unload(self, engine: Engine, name: str, folder: Path, *, cleanup: bool) -> str:
        """Unload an adapter; with `cleanup` remove what was downloaded for it.  Return the engine's words.

        One that is not loaded counts as unloaded, so that a call can be repeated.
        """
        _check_name(name)
        async with self._turn(name):
            try:
                said = await engine.unload_adapter(name)
            except Problem as problem:
                if problem.status != HTTPStatus.NOT_FOUND:
                    raise
                said = problem.message
            if cleanup:
                await asyncio.to_thread(shutil.rmtree, folder / name, ignore_errors=True)
            return said

    async def _download(self, wanted: Wanted, destination: Path) -> None:
        try:
            await self._downloader.fetch(wanted.source, destination.name, destination.parent, wanted.options)
        except DownloadError as error:
            raise Problem(error.status, str(error), "DownloadError") from error

    def _turn(self, name: str) -> asyncio.Lock:
        return self._turns.setdefault(name, asyncio.Lock())


def local_path(wanted: Wanted) -> str:
    """Return the path that the engine loads: the source itself, or FOLDER/NAME/DIGEST for a download.

    So two sources of one name have two paths, and the engine's own list of models tells which one it has.
    """
    if wanted.is_path:
        return unquote(urlsplit(wanted.source).path) if wanted.source.startswith("file://") else wanted.source
    digest = hashlib.sha256(wanted.source.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return str(wanted.folder / wanted.name / digest)


def is_local(source: str) -> bool:
    """Return whether an `artifact_url` is a path: `/models/adapter` or `file:///models/adapter`."""
    return source.startswith(("/", "file://"))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        message = f"lora_name = {name[:200]!r}, must be 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit"
        raise Problem(HTTPStatus.BAD_REQUEST, message, param="lora_name")


def _is_taken_by_it(name: str, path: str, cards: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the engine has the adapter from this path.  Raises Problem when the name is another model's."""
    card = cards.get(name)
    if card is None:
        return False
    root = card.get("root")
    if not card.get("parent"):
        message = f"lora_name = {name}, is the name of a model that the engine serves"
    elif isinstance(root, str) and root not in (name, path):
        message = f"the adapter {name} is loaded from {root}, another source; unload it first"
    else:
        return True
    raise Problem(HTTPStatus.CONFLICT, message, param="lora_name")
