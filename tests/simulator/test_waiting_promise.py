"""A lasting flood of prompts: what the gateway accepts has its first token in time, however long it waited before."""

import random
from pathlib import Path

import orjson
import pytest

from gateway.simulate import Comparer, Plan
from simulator.summary import Slo

GPU = """
speed: {a: 0.002, b: 0.0001, c: 0, d: 0, e: 0}
kv_blocks: 20000
block_tokens: 16
pass_tokens: 2048
"""
"""10,000 prompt tokens a second: two of the prompts below."""


@pytest.mark.parametrize("ttft_s", [2.0, 6.0])
def test_what_is_served_in_a_flood_is_served_in_time(tmp_path: Path, ttft_s: float) -> None:
    rng = random.Random(1)
    flood = [
        {
            "timestamp": 40 * number,
            "input_length": rng.randint(3000, 7000),
            "output_length": rng.randint(1, 3),
            "hash_ids": [],
        }
        for number in range(1500)
    ]
    (trace := tmp_path / "trace.jsonl").write_bytes(b"\n".join(map(orjson.dumps, flood)))
    (gpu := tmp_path / "slow.yaml").write_text(GPU)
    plan = Plan(trace, 8, str(gpu), ["forebay"], [1.0], "", 0, Slo(ttft_s, 1.0), None, None)

    (replayed,) = Comparer(plan).compare().summaries

    assert replayed.served > 900  # in a minute 960 could be
    assert replayed.good > 0.9 * replayed.served  # a few come before speeds are known
