"""The comparison of autoscalers, on a ramp of seconds."""

import pytest

from bench import autoscaling
from bench.autoscaling import ENGINES, HEADER, measure_autoscaling, row, scenario_of


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaling, "PATTERNS", {"ramp": ("2x6,4x6", 3)})
    monkeypatch.setattr(autoscaling, "ANSWERS", autoscaling.TokenRange(50, 50))


def test_a_row_has_every_contender_on_an_engine():
    (sample,) = measure_autoscaling(["ramp"], ["seats"], lambda _: None)
    cells = row(sample)

    assert ["ramp", "seats", "100.00% at 3.00"] == cells[:3]
    assert ["best-static (3)", "KPA", "HPA", "APA", "SLO"] == [run.name.partition(":")[0] for run in sample.runs]
    assert len(HEADER) == len(cells)


def test_all_engines_see_the_same_traffic():
    seats, kv = (scenario_of("ramp", engine) for engine in ENGINES)

    assert (36, 12.0) == (len(seats.trace), seats.until_s)
    assert seats.trace == kv.trace
    assert (16, 4096) == (seats.profile.max_running, kv.profile.kv_blocks)
