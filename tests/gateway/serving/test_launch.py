"""How workers are started: their command and environment."""

import sys
from pathlib import Path

from gateway.config.settings import ListenSettings, Settings
from gateway.serving.launch import worker_launch
from gateway.serving.variables import ADDRESS_VARIABLE, CONFIG_VARIABLE, INDEX_VARIABLE

FILE = Path("f.yaml")


def test_a_worker_learns_its_place_from_the_environment():
    started = worker_launch(Settings(), FILE, 2)
    assert {CONFIG_VARIABLE: "f.yaml", INDEX_VARIABLE: "2", ADDRESS_VARIABLE: started.address} == started.env


def test_a_worker_has_the_private_address_that_the_settings_name():
    settings = Settings(listen=ListenSettings(workers=("127.0.0.1:4", "127.0.0.1:5")))
    assert ["127.0.0.1:4", "127.0.0.1:5"] == [worker_launch(settings, FILE, index).address for index in (0, 1)]


def test_workers_without_a_named_address_take_free_ones_of_their_own():
    addresses = [worker_launch(Settings(), FILE, index).address.rpartition(":") for index in (0, 1)]
    assert ["127.0.0.1"] * 2 == [host for host, _, _ in addresses]
    assert all(int(port) > 0 for _, _, port in addresses)


def test_a_worker_runs_on_this_interpreter():
    assert (sys.executable, "-m", "gateway.serving.plain_worker") == worker_launch(Settings(), FILE, 0).argv
