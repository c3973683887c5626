import io
import json
from pathlib import Path

from simulator.replay import assignments
from simulator.replay.traces import read
from tests.support.fleet_replay import a_request, replayed


def lines(*trace):
    file = io.StringIO()
    assignments.write(replayed(*trace, speedup=2), file)
    return file.getvalue().splitlines()


def test_each_request_is_a_line_in_the_order_of_dispatch():
    written = [json.loads(line) for line in lines(a_request(0, ids=[1]), a_request(7, prompt=999), a_request(9))]

    assert [
        {"timestamp": 0, "input_length": 8, "output_length": 2, "hash_ids": [1], "pod": "pod-0", "dispatched_ms": 0.0,
         "outcome": "served"},
        {"timestamp": 7, "input_length": 999, "output_length": 2, "hash_ids": [], "pod": None, "dispatched_ms": 3.5,
         "outcome": "refused", "why": "too-long"},
        {"timestamp": 9, "input_length": 8, "output_length": 2, "hash_ids": [], "pod": "pod-0", "dispatched_ms": 4.5,
         "outcome": "served"},
    ] == written  # fmt: skip


def test_a_request_that_waited_is_listed_at_its_dispatch():
    file = io.StringIO()
    first, second = replayed(a_request(0), a_request(9))
    first.dispatched_s = 7.0
    assignments.write([first, second], file)

    assert [9, 0] == [json.loads(line)["timestamp"] for line in file.getvalue().splitlines()]


def test_a_file_of_assignments_is_a_trace_too(tmp_path: Path):
    trace = [a_request(0, ids=[1]), a_request(7, prompt=999), a_request(9)]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines(*trace)))

    assert trace == read(tmp_path / "trace.jsonl")
