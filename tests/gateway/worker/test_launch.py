"""The command line and environment of workers."""

import os
import platform
import subprocess
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other settings")
def test_a_worker_that_handles_one_large_body_after_the_other_asks_for_no_fresh_memory():
    count_page_faults = """
from resource import RUSAGE_SELF, getrusage
for _ in range(5):
    before = getrusage(RUSAGE_SELF).ru_minflt
    copies = [b"a" * (12 << 20) for _ in range(3)]
    del copies
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""
    environment = {**os.environ, **worker_launch(FILE, 0, "a:1").env}
    done = subprocess.run([sys.executable, "-c", count_page_faults], env=environment, check=True, capture_output=True)
    assert int(done.stdout) < 1000  # it was 9,000: one for each page of the three copies


def test_a_worker_runs_on_this_interpreter():
    assert (sys.executable, "-m", "gateway.worker.process") == worker_launch(FILE, 0, "a:1").argv
