import json

import pytest

from traffic.trace_json import CONSTANTS, parse, render
from traffic.window import Window

OURS = Window(
    10.0, 9, {(80, 70): 5, (0, 0): 1}, {80: 8, 120: 1}, in_flight=4, queued=3, refused=2, sent={"m-l20": 6, "a:b_1": 0},
    starts_at_s=1_000.0, writers=2,
)  # fmt: skip


def test_reads_what_it_writes():
    marks = {"meta_by_w1": 1, "meta_by_w2": 7}
    assert OURS == parse(json.dumps(CONSTANTS | marks | render(OURS)), 1_010.0)
    assert Window(10.0, 0, {}, {}, writers=2) == parse(json.dumps(CONSTANTS | marks | render(Window(10.0, 0))), 10.0)


@pytest.mark.parametrize(
    ("trace", "window"),
    [
        ({"8:7": 2, "0:3": 1}, Window(10.0, 3, {(80, 70): 2, (0, 30): 1})),
        ({"meta_v": 2, "meta_interval_sec": 5, "meta_precision": 10, "81:70": 2}, Window(5.0, 2, {(81, 70): 2})),
        (
            {"meta_v": 3, "meta_interval_sec": 10, "meta_precision": 10, "meta_total_reqs": 7, "meta_pending_reqs": 4},
            Window(10.0, 7, in_flight=4),
        ),
        (
            {**CONSTANTS, "meta_total_reqs": 7, "meta_pending_reqs": 4, "meta_queueing_reqs": 3, "meta_other": 1},
            Window(10.0, 7, in_flight=4, queued=3),
        ),
        ({"meta_v": 2, "meta_precision": 20, "159:3": 1, "160:3": 1}, Window(10.0, 2, {(80, 2): 2})),
    ],
    ids=["v1", "v2", "v3", "v4", "finer buckets"],
)  # fmt: skip
def test_reads_the_versions_of_aibrix(trace: dict[str, int], window: Window):
    assert window == parse(json.dumps(trace), window.duration_s)


@pytest.mark.parametrize(
    ("trace", "why"),
    [
        ("", "no JSON object of integers"),
        ("[1]", "no JSON object of integers"),
        ('{"80:70": 1.5}', "no JSON object of integers"),
        ('{"80:70": true}', "no JSON object of integers"),
        ('{"80:70": -1}', "a count is negative"),
        ('{"80-70": 1}', "a name is neither"),
        ('{"80:70:1": 1}', "a name is neither"),
        ('{"meta_precision": 0}', "is 0"),
        ('{"meta_interval_sec": 0}', "is 0"),
    ],
)  # fmt: skip
def test_refuses_what_is_no_trace(trace: str, why: str):
    with pytest.raises(ValueError, match=why):
        parse(trace, 10.0)
