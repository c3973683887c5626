"""The measurement of memory, on a small scale."""

import subprocess
import sys

import pytest

from bench import memory
from bench.processes import python_module


def test_an_index_takes_tens_of_bytes_per_block():
    fresh = "from bench.memory import fill_index; print(*fill_index(200_000))"  # a used heap has room left
    grown = int(subprocess.run([sys.executable, "-c", fresh], check=True, capture_output=True).stdout)

    assert 20 < grown / 200_000 < 200


def test_unique_prompts_do_not_grow_the_process_with_time():
    early, late = memory.serve_unique_prompts((1500, 4500))

    assert late - early < 4_000_000  # 3,000 more prompts of 32 KB, and their blocks, would be 100 times this


def test_each_part_is_measured_in_its_own_process(monkeypatch: pytest.MonkeyPatch):
    commands = []

    def run(argv: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(argv)
        return subprocess.CompletedProcess(argv, 0, b"[750]" if argv[-1] == "index" else b"[40, 41]")

    monkeypatch.setattr(subprocess, "run", run)
    figures = memory.measure_memory(lambda _: None)

    assert [python_module("bench.memory", part) for part in ("index", "hour")] == commands
    assert (750, 40, 41) == (figures.index, figures.minute, figures.hour)
    assert (7.5e-5, 1.025) == (figures.bytes_per_block, figures.growth)
