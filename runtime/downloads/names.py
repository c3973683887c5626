"""Safe names: what a source calls a file never leads out of the folder that it goes to.

Lives here: the rules.  Not here: URIs (runtime.downloads.locations), creating files (runtime.downloads.fetching).
"""

import re
from collections.abc import Sequence

from runtime.downloader import DownloadError
from runtime.downloads.files import RemoteFile

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Names of artifacts, as AIBrix checks those of adapters: one path component, which is not hidden."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
COMPONENT_BYTES = 255
"""NAME_MAX of Linux's file systems."""
PATH_BYTES = 2048
"""Half of Linux's PATH_MAX; the other half is for the folder."""
BAD_REQUEST = 400


def checked_name(name: str) -> str:
    """Return the name of an artifact.  Raises DownloadError where it is not one."""
    if not NAME.fullmatch(name):
        raise DownloadError(f"name = {name[:160]!r}, must match {NAME.pattern}", BAD_REQUEST)
    return name


def check_paths(files: Sequence[RemoteFile]) -> None:
    """Check that all files can lie in one folder and nowhere else.  Raises DownloadError, which names the first."""
    seen: set[str] = set()
    for file in files:
        if reason := _unsafe(file.path):
            raise DownloadError(f"the source names a file {file.path[:160]!r}, which {reason}")
        if file.path in seen:
            raise DownloadError(f"the source names {file.path[:160]!r} twice")
        seen.add(file.path)
    for path in seen:
        parts = path.split("/")
        if parents := seen.intersection("/".join(parts[:count]) for count in range(1, len(parts))):
            raise DownloadError(f"the source names {parents.pop()[:160]!r} as a file and as a folder")


def _unsafe(path: str) -> str:
    """Return why a relative path is refused; empty where it is safe."""
    parts = path.split("/")
    if path.startswith("/") or not path:
        return "is not relative"
    if any(part in ("", ".", "..") for part in parts):
        return "leads elsewhere"
    if "\\" in path or CONTROL.search(path):
        return "has a character that names must not have"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "has a character that names must not have"
    return "is too long" if max(sizes) > COMPONENT_BYTES or sum(sizes) > PATH_BYTES else ""
