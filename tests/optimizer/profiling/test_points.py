"""Rows of benchmarks: five lines per point, those of AIBrix too, and every problem of a file at once."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.profiling.points import METRICS, Load, lines_of, parse_points
from tests.support.measured import a_point

AIBRIX = {
    "input_tokens": 128, "output_tokens": 4, "request_rate": 2, "seed": 0, "model": "m", "temperature": 0.0,
    "samples": 100,
}  # fmt: skip
LATENCY = {"mean": 0.2, "P50": 0.1, "P90": 0.3, "P99": 0.5}


def a_file(**changed: object) -> bytes:
    """One point as AIBrix writes it."""
    means = {"TPUT": {"mean": 1.9}, "TT": {"mean": 7.6}, "E2E": LATENCY, "TTFT": LATENCY, "TPOT": LATENCY}
    rows = [AIBRIX | {"metric": name} | means[name] | changed for name in METRICS]
    return "\n".join(map(json.dumps, rows)).encode()


def problems(text: bytes) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_points(text)
    return caught.value.problems


def test_rows_of_aibrix_are_read():
    [point] = parse_points(a_file()).points

    assert Load(128, 4, 2.0) == point.load
    assert (1.9, 0.2, 0.5, None) == (point.mean("TPUT"), point.at("TTFT", 0), point.at("TTFT", 99), point.arrival_rate)


def test_a_point_is_five_lines_that_are_read_again():
    point = a_point(Load(16, 64, 3.5), stderr=0.1, arrived=3.4)
    text = lines_of(point, {"seed": 0, "model": "m", "temperature": 0.0, "samples": 100, "max_running": 64})

    found = parse_points(text.encode())

    assert 5 == len(text.splitlines())
    assert set(AIBRIX) | {"metric", "mean", "arrival_rate", "max_running"} == set(json.loads(text.splitlines()[0]))
    assert (point,) == found.points
    assert {"max_running": 64} == found.about


def test_a_closed_loop_is_told_from_a_rate():
    point = a_point(Load(16, 64, 3.5, 8))

    assert (point,) == parse_points(lines_of(point, {}).encode()).points


def test_of_a_point_that_is_there_twice_the_last_counts():
    [point] = parse_points(a_file() + b"\n" + a_file(mean=0.7)).points

    assert 0.7 == point.mean("TTFT")


def test_a_percentile_that_was_not_measured_counts_as_the_next_higher():
    [point] = parse_points(a_file()).points

    assert 0.3 == point.at("E2E", 75)
    with pytest.raises(InputError, match=r"percentile = 99\.9: E2E has P50, P90, P99"):
        point.at("E2E", 99.9)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "has no measurements"),
        (b"{", "line 1: no JSON"),
        (b"3", "line 1: metric = null, must be one of TPUT, TT, E2E, TTFT, TPOT"),
        (a_file(metric="X"), 'line 1: metric = "X"'),
        (a_file(request_rate=0), "line 1: request_rate = 0, must be a number > 0"),
        (a_file(request_rate=float("nan")), "line 1: request_rate = NaN"),
        (a_file(mean=float("nan")), "line 1: mean = NaN"),
        (a_file(input_tokens=0), "line 1: input_tokens = 0"),
        (a_file().rpartition(b"\n")[0], "128 input, 4 output tokens, 2 req/s: has no TPOT"),
    ],
)
def test_a_problem_is_named(text: bytes, named: str):
    assert any(line.startswith(named) for line in problems(text)), problems(text)


def test_less_served_than_arrived_is_a_backlog():
    assert a_point(Load(16, 64, 10.0), tput=8.9).is_backlogged
    assert not a_point(Load(16, 64, 10.0), tput=9.1).is_backlogged
    assert not a_point(Load(16, 64, 10.0), tput=8.9, arrived=9.0).is_backlogged  # by chance fewer arrived
