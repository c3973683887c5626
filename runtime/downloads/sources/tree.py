"""Folders in stores that have none: which of a store's names are below a path, and what they are called there.

Lives here: names.  Not here: asking any store for them.
"""

from collections.abc import Iterable
from dataclasses import replace

from runtime.downloader import DownloadError
from runtime.downloads.files import Listing, RemoteFile


def listed(files: Iterable[RemoteFile], path: str, where: str) -> Listing:
    """Return the file that has a path as its key, or else those whose keys are below it.

    Keys with a slash at their end are names of folders.  Raises DownloadError where nothing is left.
    """
    known = list(files)
    for file in known:
        if file.key == path and not path.endswith("/"):
            return Listing([replace(file, path=path.rpartition("/")[2])], is_folder=False)
    root = f"{path.rstrip('/')}/" if path.strip("/") else ""
    below = [
        replace(file, path=file.key.removeprefix(root))
        for file in known
        if file.key.startswith(root) and not file.key.endswith("/")
    ]
    if not below:
        raise DownloadError(f"{where}: there is no such file or folder", 404)
    return Listing(below)
