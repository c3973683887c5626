"""A lasting flood: accepted requests are served within the SLO, however long they waited."""

import random
from pathlib import Path

import orjson
import pytest

from forebay.simulation.comparison import Comparer, Options
from simulator.replay.summary import Slo

PREFILL = """
speed: {a: 0.002, b: 0.0001, c: 0, d: 0, e: 0}
kv_blocks: 20000
block_tokens: 16
pass_tokens: 2048
"""
"""10,000 prompt tokens a second: two of the prompts below."""


MEMORY = """
speed: {a: 0.008, b: 0.0001, c: 0, d: 0, e: 0.0001}
kv_blocks: 640
block_tokens: 16
pass_tokens: 2048
"""
"""The cache has space for a dozen of the outputs below."""
DECODE = """
speed: {a: 0.01, b: 0.0001, c: 0, d: 0, e: 0.001}
kv_blocks: 20000
block_tokens: 16
pass_tokens: 2048
"""
"""With more than 40 requests in the batch the ITL exceeds 50 ms."""


def a_flood(folder: Path, every_ms: int, prompts: tuple[int, int], answers: tuple[int, int]) -> Path:
    """A minute of requests that share nothing, for eight pods."""
    rng = random.Random(1)
    lines = [
        {
            "timestamp": at_ms,
            "input_length": rng.randint(*prompts),
            "output_length": rng.randint(*answers),
            "hash_ids": [],
        }
        for at_ms in range(0, 60_000, every_ms)
    ]
    (trace := folder / "trace.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return trace


@pytest.mark.parametrize("ttft_s", [2.0, 6.0])
def test_what_is_served_in_a_flood_is_served_in_time(tmp_path: Path, ttft_s: float) -> None:
    trace = a_flood(tmp_path, every_ms=40, prompts=(3000, 7000), answers=(1, 3))
    (gpu := tmp_path / "slow.yaml").write_text(PREFILL)
    options = Options(trace, 8, str(gpu), ["forebay"], [1.0], "", 0, Slo(ttft_s, 1.0), None, None)

    (replayed,) = Comparer(options).compare().summaries

    assert replayed.served > 900  # in a minute 960 could be
    assert replayed.good > 0.9 * replayed.served  # a few come before speeds are known


@pytest.mark.parametrize(("profile", "answers"), [(MEMORY, (400, 1200)), (DECODE, (300, 500))])
def test_more_is_served_in_time_with_an_slo_where_outputs_are_the_bottleneck(
    tmp_path: Path, profile: str, answers: tuple[int, int]
) -> None:
    trace = a_flood(tmp_path, every_ms=40, prompts=(50, 300), answers=answers)
    (gpu := tmp_path / "gpu.yaml").write_text(profile)
    kept, left = (
        Comparer(Options(trace, 8, str(gpu), ["least-request"], [1.0], "", 0, Slo(), None, None, keep_slo=keep))
        .compare()
        .summaries[0]
        for keep in (True, False)
    )

    assert kept.good > 1.5 * left.good, (kept.good, left.good)


def test_a_pod_gets_no_more_requests_at_once_than_keep_the_itl(tmp_path: Path) -> None:
    trace = a_flood(tmp_path, every_ms=40, prompts=(50, 300), answers=(300, 500))
    (gpu := tmp_path / "gpu.yaml").write_text(DECODE)

    (replayed,) = (
        Comparer(Options(trace, 8, str(gpu), ["forebay"], [1.0], "", 0, Slo(), None, None)).compare().summaries
    )

    assert replayed.served > 600
    assert replayed.good > 0.8 * replayed.served  # the first come before anything is known
