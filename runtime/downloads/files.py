"""Files of a source: their names, sizes and versions, where their bytes are, and the protocol that all sources keep.

Lives here: values and the protocol.  Not here: any source (runtime.downloads.sources), transferring bytes
(runtime.downloads.transfer).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Checksum:
    """The digest that a file must have."""

    algorithm: str
    """A key of runtime.downloads.checksums.ALGORITHMS, or `md5-parts`: S3's ETag of an object uploaded in parts."""
    value: str
    """Hexadecimal, in lower case; of `md5-parts` without the number of parts."""
    part_size: int = 0
    """Bytes of each part but the last, of `md5-parts`."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at its source."""

    path: str
    """Relative, with `/`; not yet known to be safe."""
    key: str
    """The source's own name for it."""
    size: int | None
    """Bytes; None where only its end will tell."""
    version: str
    """Changes whenever the content does; empty where nothing says so, and then no half of it is kept."""
    etag: str = ""
    """The ETag that every answer must have; empty where answers need have none."""
    has_ranges: bool = True
    """Whether the source gives parts of it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that a URI names."""

    files: Sequence[RemoteFile]
    is_folder: bool = True
    """Otherwise it is a single file, which takes the artifact's own name."""


@dataclass(frozen=True, slots=True)
class Address:
    """An HTTP address, and headers of its requests; both may hold credentials and are never shown."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """The files behind one URI.  Every method blocks, may be called by many threads, and raises DownloadError."""

    def listing(self) -> Listing:
        """Return the files, without those that are only names of folders."""

    def address(self, file: RemoteFile) -> Address:
        """Return where a file's bytes are, good for a request that begins now."""

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """Return the digest that the source has of a file; None where it has none that can be computed here."""
