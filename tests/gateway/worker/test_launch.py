"""The command line and environment of workers."""

import sys
from pathlib import Path

import pytest

from gateway.config.settings import ListenSettings, Settings
from gateway.worker.launch import Place, read_place, worker_launch

FILE = Path("f.yaml")


def test_a_worker_learns_its_place_from_the_environment():
    alone, among_siblings = worker_launch(Settings(), FILE, 2), worker_launch(Settings(), FILE, 1, Path("/metrics"))
    assert (FILE, Place(2, alone.address, None)) == read_place(alone.env)
    assert (FILE, Place(1, among_siblings.address, Path("/metrics"))) == read_place(among_siblings.env)


def test_a_worker_without_a_place_does_not_start():
    with pytest.raises(KeyError):
        read_place({})


def test_a_worker_has_the_private_address_that_the_settings_name():
    settings = Settings(listen=ListenSettings(workers=("127.0.0.1:4", "127.0.0.1:5")))
    assert ["127.0.0.1:4", "127.0.0.1:5"] == [worker_launch(settings, FILE, index).address for index in (0, 1)]


def test_workers_without_a_configured_address_take_free_ones():
    addresses = [worker_launch(Settings(), FILE, index).address.rpartition(":") for index in (0, 1)]
    assert ["127.0.0.1"] * 2 == [host for host, _, _ in addresses]
    assert all(int(port) > 0 for _, _, port in addresses)


def test_a_worker_runs_on_this_interpreter():
    assert (sys.executable, "-m", "gateway.worker.process") == worker_launch(Settings(), FILE, 0).argv
