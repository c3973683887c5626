"""The table of sources: scheme -> what makes a source, and the packages that it needs.

Lives here: the table.  Not here: any source.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from runtime.downloader import DownloadError
from runtime.downloads.files import Source
from runtime.downloads.locations import Location
from runtime.downloads.settings import Variables
from runtime.downloads.transfer import Retrying, Transfer

SOURCES = {
    "hf": ("huggingface", "HuggingFace", "huggingface_hub"),
    "s3": ("s3", "S3", "botocore"),
    "tos": ("s3", "S3", "botocore"),
    "gs": ("gcs", "Gcs", "google.auth"),
    "az": ("azure", "Azure", "obstore"),
    "http": ("web", "Web", "httpx"),
}
"""Scheme -> module, class, and the package of the extra `runtime` that it needs; imported only where it is used."""


def source_of(location: Location, variables: Variables, transfer: Transfer, retrying: Retrying) -> Source:
    """Return the source of a location.  Raises DownloadError where its package or a variable is missing."""
    module, name, package = SOURCES[location.scheme]
    if not _is_installed(package):
        raise DownloadError(f"{location.scheme}:// needs the extra runtime: pip install 'forebay[runtime]'", 400)
    make: Callable[..., Source] = getattr(import_module(f"runtime.downloads.sources.{module}"), name)
    return make(location, variables, transfer, retrying)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
