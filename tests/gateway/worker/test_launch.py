"""The command line and environment of workers."""

import sys
from pathlib import Path

import pytest

from gateway.worker.launch import Place, read_place, worker_launch

FILE = Path("f.yaml")


def test_a_worker_learns_its_place_from_the_environment():
    alone, among_siblings = worker_launch(FILE, 2, "a:1"), worker_launch(FILE, 1, "a:2", Path("/metrics"))
    assert (FILE, Place(2, alone.address, None)) == read_place(alone.env)
    assert (FILE, Place(1, among_siblings.address, Path("/metrics"))) == read_place(among_siblings.env)


def test_a_worker_without_a_place_does_not_start():
    with pytest.raises(KeyError):
        read_place({})


def test_a_worker_runs_on_this_interpreter():
    assert (sys.executable, "-m", "gateway.worker.process") == worker_launch(FILE, 0, "a:1").argv
