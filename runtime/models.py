"""Models on this machine's disk: downloaded in the background, listed with how far that is.

Lives here: which download runs, what is said of it.  Not here: downloading (downloader), HTTP (app).
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import structlog

from runtime.adapters import NAME
from runtime.downloader import Downloader, DownloadError
from runtime.downloads.locations import name_of, shown
from runtime.errors import Problem

SOURCES: Mapping[str, str] = {
    "huggingface": "huggingface", "hf": "huggingface", "s3": "s3", "tos": "tos", "gs": "gcs", "gcs": "gcs",
    "az": "azure", "abfs": "azure", "abfss": "azure", "http": "http", "https": "http",
}  # fmt: skip
"""Scheme of a URI -> the source's name in a card; anything else is `local`."""

log = structlog.get_logger("runtime")
Card = dict[str, str]


class _Download:
    """A download that runs or has ended."""

    def __init__(self, uri: str, task: asyncio.Task[Path]) -> None:
        self.uri = uri
        self.task = task

    def card(self, destination: Path) -> Card:
        if not self.task.done():
            return _card(destination, self.uri, "downloading")
        error = asyncio.CancelledError() if self.task.cancelled() else self.task.exception()
        if error is None:
            return _card(self.task.result(), self.uri, "downloaded", destination.name)
        return {**_card(destination, self.uri, "failed"), "message": str(error) or type(error).__name__}


class Models:
    """The models of one runtime; `folder` is where they go when a call names no other."""

    def __init__(self, downloader: Downloader, folder: Path) -> None:
        self._downloader = downloader
        self._folder = folder
        self._downloads: dict[Path, _Download] = {}

    def start(self, uri: str, name: str | None, folder: str | None, options: Mapping[str, Any]) -> Card:
        """Begin a download unless it runs or is done, and return its card; one that failed begins again.

        Raises Problem: 400 for a name that is none, 409 while another source is downloaded to the same place.
        """
        name = name or name_of(uri)
        if not NAME.fullmatch(name):
            message = f"model_name = {name[:200]!r}, must be 1 to 128 of A-Z a-z 0-9 . _ - and begin with one of them"
            raise Problem(HTTPStatus.BAD_REQUEST, message, param="model_name")
        destination = self._place(folder) / name
        known = self._downloads.get(destination)
        if known and not known.task.done() and known.uri != uri:
            raise Problem(HTTPStatus.CONFLICT, f"{destination} is being downloaded from {shown(known.uri)}")
        if known is None or known.uri != uri or _has_failed(known.task):
            fetching = self._fetch(uri, destination, options)
            known = _Download(uri, asyncio.create_task(fetching, name=f"download {destination.name}"))
            self._downloads[destination] = known
        return known.card(destination)

    def cards(self, folder: str | None) -> list[Card]:
        """Return what there is in a folder and what is being brought there, by name."""
        place = self._place(folder)
        cards = {
            one.path: _card(one.path, one.source, "downloaded" if one.is_complete else "no_operation", one.name)
            for one in self._downloader.found(place)
        }
        cards |= {path: one.card(path) for path, one in self._downloads.items() if path.parent == place}
        return [cards[path] for path in sorted(cards)]

    async def close(self) -> None:
        """End all downloads; a later one goes on where they stood."""
        tasks = [one.task for one in self._downloads.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _place(self, folder: str | None) -> Path:
        place = Path(folder) if folder else self._folder
        if not place.is_absolute():
            raise Problem(HTTPStatus.BAD_REQUEST, f"local_dir = {folder}, must be an absolute path", param="local_dir")
        return place

    async def _fetch(self, uri: str, destination: Path, options: Mapping[str, Any]) -> Path:
        try:
            return await self._downloader.fetch(uri, destination.name, destination.parent, options)
        except DownloadError as error:
            log.warning("download_failed", name=destination.name, why=str(error))
            raise


def _has_failed(task: asyncio.Task[Path]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _card(path: Path, uri: str, status: str, name: str = "") -> Card:
    source = SOURCES.get(uri.partition("://")[0].lower() if "://" in uri else "", "local")
    return {
        "model_name": name or path.name, "model_root_path": str(path), "source": source, "model_status": status,
    }  # fmt: skip
