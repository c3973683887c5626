"""Downloads: an artifact is brought from its source to its place, whole or not at all.

Lives here: the steps, and what is done where something is there already.  Not here: the steps' own rules (the other
modules), who asks (runtime.adapters, runtime.models, forebay.cli.downloading).
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from runtime.downloader import Artifact, DownloadError
from runtime.downloads import checksums, folders
from runtime.downloads.fetching import Fetching, OnProgress
from runtime.downloads.files import Listing, Source
from runtime.downloads.folders import Place, Receipt, Status
from runtime.downloads.locations import Location, local_path, parse, shown
from runtime.downloads.names import check_paths, checked_name
from runtime.downloads.settings import Settings, Variables, read_settings, variables_of
from runtime.downloads.sources.table import source_of
from runtime.downloads.transfer import Retrying, Transfer


def _nobody(_done: int, _total: int | None) -> None:
    """Take progress that nobody looks at."""


class Downloads:
    """A runtime.downloader.Downloader for every source."""

    def __init__(
        self, environment: Mapping[str, str], rng: random.Random, *, trusts_options: bool = False,
        on_progress: OnProgress = _nobody,
    ) -> None:  # fmt: skip
        self._environment = environment
        self._rng = rng
        self._trusts_options = trusts_options
        self._on_progress = on_progress

    async def fetch(self, uri: str, name: str, folder: Path, options: Mapping[str, Any]) -> Path:
        """Return the local path of an artifact; see runtime.downloader."""
        location = parse(uri)
        if location.scheme == "file":
            return local_path(location)
        variables = variables_of(self._environment, options, location.scheme, is_trusted=self._trusts_options)
        stop = Event()
        order = _Order(location, variables, read_settings(variables), Place(folder, checked_name(name)), stop)
        try:
            return await asyncio.to_thread(self._fetch, order)
        finally:
            stop.set()  # the thread outlives a cancelled call by one block of bytes

    def found(self, folder: Path) -> Sequence[Artifact]:
        """Return what lies in a folder, by name; nothing where there is no such folder."""
        return folders.found(folder)

    def status(self, name: str, folder: Path) -> Status:
        """Return how far an artifact is, whichever process is at it."""
        return Place(folder, name).status()

    def _fetch(self, order: "_Order") -> Path:
        place, settings = order.place, order.settings
        try:
            with place.locked(order.stop):
                if not settings.force_download and settings.check_file_exist and order.is_there():
                    return place.path
                if settings.force_download:
                    place.discard()
                transfer = Transfer(settings)
                try:
                    return self._bring(order, transfer)
                finally:
                    transfer.close()
        except OSError as error:
            raise DownloadError(f"{error.filename or place.path}: {error.strerror or error}") from error

    def _bring(self, order: "_Order", transfer: Transfer) -> Path:
        place, settings = order.place, order.settings
        retrying = Retrying(settings.retries, order.stop, self._rng)
        source = source_of(order.location, order.variables, transfer, retrying)
        where = shown(order.location.uri)
        try:
            listing = chosen(source.listing(), settings.allow_file_suffix, where)
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # of clients that read something else
            raise DownloadError(f"{where}: the source does not answer as its API does") from error
        if not settings.force_download and place.path.exists() and place.receipt() is None:
            order.adopt(listing, source)
            return place.path
        place.begin()
        place.keep_only([file.path for file in listing.files])
        fetching = Fetching(source, transfer, retrying, settings, self._on_progress)
        fetching.fetch(listing.files, place.files, place.journals, order.stop)
        sizes = {file.path: (place.files / file.path).stat().st_size for file in listing.files}
        if listing.is_folder:
            place.install(place.files, order.receipt(sizes))
        else:
            [(path, size)] = sizes.items()
            place.install(place.files / path, order.receipt({"": size}))
        return place.path


def chosen(listing: Listing, suffixes: Sequence[str], where: str) -> Listing:
    """Return the files that are wanted, whose names are safe.  Raises DownloadError."""
    if listing.is_folder and suffixes:
        wanted = [file for file in listing.files if file.path.endswith(tuple(suffixes))]
        if not wanted:
            raise DownloadError(f"{where}: none of {len(listing.files)} files ends with {', '.join(suffixes)}", 404)
        listing = Listing(wanted)
    check_paths(listing.files)
    return listing


@dataclass(frozen=True, slots=True)
class _Order:
    """One call of fetch."""

    location: Location
    variables: Variables
    settings: Settings
    place: Place
    stop: Event

    def receipt(self, sizes: Mapping[str, int]) -> Receipt:
        """Return the receipt for files of these sizes."""
        uri = shown(self.location.uri)
        revision = self.variables.get("HF_REVISION") if self.location.scheme == "hf" and "@" not in uri else ""
        return Receipt(f"{uri}@{revision}" if revision else uri, sizes, self.settings.allow_file_suffix)

    def is_there(self) -> bool:
        """Whether the same was installed before, and every file of it is still there."""
        kept = self.place.receipt()
        wanted = self.receipt({})
        return (
            kept is not None
            and (kept.source, list(kept.suffixes)) == (wanted.source, list(wanted.suffixes))
            and self.place.is_whole(kept)
        )

    def adopt(self, listing: Listing, source: Source) -> None:
        """Take what somebody else put there, where it is the same by checksums.  Raises DownloadError otherwise."""
        sizes = {file.path if listing.is_folder else "": file.size for file in listing.files}
        known = {path: size for path, size in sizes.items() if size is not None}
        receipt = self.receipt(known)
        is_same = len(known) == len(sizes) and self.place.is_whole(receipt)
        for file in listing.files:
            path = self.place.path / file.path if listing.is_folder else self.place.path
            checksum = source.checksum(file) if is_same else None
            is_same = checksum is not None and checksums.digest_of(path, checksum) == checksum.value
        if not is_same:
            raise DownloadError(
                f"{self.place.path}: something else is there, which was not downloaded; remove it, choose another name,"
                " or set DOWNLOADER_FORCE_DOWNLOAD=1", 400,
            )  # fmt: skip
        self.place.write_receipt(receipt)
