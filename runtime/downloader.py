"""Downloading as the runtime asks for it: a source in, a local path out.

Lives here: the protocol, its values and its error.  Not here: any source (runtime.downloads), who asks for adapters and
models (runtime.adapters, runtime.models).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class DownloadError(Exception):
    """Nothing could be brought; the message says why in one sentence, without credentials.

    `status` is the HTTP status for who asked: 400 a URI that cannot be used, 401 and 403 credentials that the source
    refuses, 404 no such artifact, 507 no room on the disk, 502 everything else of the source.
    """

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that was downloaded, in whole or in part."""

    name: str
    path: Path
    source: str
    """The URI that it comes from, without credentials; empty where that is not known."""
    is_complete: bool


class Downloader(Protocol):
    """Brings artifacts, which are files or folders of files, to this machine."""

    async def fetch(self, uri: str, name: str, folder: Path, options: Mapping[str, Any]) -> Path:
        """Return the local path of what `uri` names: `folder / name`, downloaded unless it is there in full.

        A local path is returned as it is, without a copy; it must exist.  `name` is a single safe path component.
        `options` are of the source: credentials, endpoint, revision, as `--download-extra-config` and an adapter's
        `credentials` have them; what is absent comes from the environment.  Until it is complete nothing lies at
        `folder / name`; cancelled or failed, a repeated call goes on where it stood.  Raises DownloadError.
        """

    def found(self, folder: Path) -> Sequence[Artifact]:
        """Return what lies in a folder, by name; nothing where there is no such folder."""
