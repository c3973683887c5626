"""Files of benchmarks: points are appended whole, and found again after whatever interrupted them."""

from pathlib import Path

import pytest

from forebay.profiling.results import Results
from optimizer.input.reading import InputError
from optimizer.profiling.points import Load, parse_points
from tests.support.measured import a_point

LABELS = {"model": "m", "seed": 0}
ONE, TWO = a_point(Load(16, 8, 1.0)), a_point(Load(16, 8, 2.0))


def test_points_are_found_again(tmp_path: Path):
    results = Results(tmp_path / "deep" / "a.jsonl", LABELS)

    assert () == results.known()
    results.add(ONE, {"gpu": "L20"})
    results.add(TWO, {"gpu": "L20"})

    assert (ONE, TWO) == results.known()
    assert {"gpu": "L20"} == parse_points(results.file.read_bytes()).about


def test_rows_of_other_runs_are_kept_and_not_taken(tmp_path: Path):
    Results(tmp_path / "a.jsonl", LABELS | {"seed": 1}).add(ONE, {})
    results = Results(tmp_path / "a.jsonl", LABELS)

    assert () == results.known()
    results.add(TWO, {})
    assert 10 == len(results.file.read_text().splitlines())


@pytest.mark.parametrize("cut", [1, 50, 300])
def test_a_point_that_was_not_written_to_its_end_is_measured_again(tmp_path: Path, cut: int):
    results = Results(tmp_path / "a.jsonl", LABELS)
    results.add(ONE, {})
    results.add(TWO, {})
    results.file.write_bytes(results.file.read_bytes()[:-cut])

    assert (ONE,) == results.known()
    results.add(TWO, {})
    assert {ONE.load, TWO.load} == {point.load for point in parse_points(results.file.read_bytes()).points}


def test_a_file_of_something_else_is_an_error_and_stays(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("a diary\n")

    with pytest.raises(InputError, match=r"a\.jsonl: line 1: no JSON"):
        Results(tmp_path / "a.jsonl", LABELS).known()
    assert "a diary\n" == (tmp_path / "a.jsonl").read_text()
