"""The table of sources."""

import random
import threading

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.locations import SCHEMES, parse
from runtime.downloads.settings import Settings, Variables
from runtime.downloads.sources import table
from runtime.downloads.transfer import Retrying, Transfer


def test_every_scheme_has_its_source():
    assert set(SCHEMES.values()) - {"file"} == table.SOURCES.keys()


def test_a_package_that_is_not_installed_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(table.SOURCES, "gs", ("gcs", "Gcs", "not_installed.at_all"))
    transfer, retrying = Transfer(Settings()), Retrying(0, threading.Event(), random.Random(1))

    with pytest.raises(DownloadError, match=r"gs:// needs the extra runtime: pip install 'forebay\[runtime\]'"):
        table.source_of(parse("gs://b/m"), Variables({}, has_machine=False), transfer, retrying)
    transfer.close()
