"""`forebay bench-engine`, also as `aibrix_benchmark`: rows, dry runs, going on after an interruption, errors."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from forebay.profiling.model_meter import ModelMeter
from optimizer.profiling.points import Load, parse_points
from optimizer.profiling.steady import Span
from simulator.core.gpus import GPUS
from tests.support.command import run
from tests.support.ports import free_port

CELL = ("--input-start", "16", "--input-limit", "16", "--output-start", "8", "--output-limit", "8")
CELLS = ("--input-start", "16", "--input-limit", "64", "--output-start", "8", "--output-limit", "16")


def measured(tmp_path: Path, *arguments: str) -> list[dict[str, object]]:
    out = tmp_path / "b.jsonl"
    result = run("bench-engine", "-m", "m", "-o", str(out), "--from-sim", "L20", "--num-prompts", "20", *arguments)
    assert 0 == result.exit_code, result.output
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_each_point_is_five_rows_in_the_format_of_aibrix(tmp_path: Path):
    rows = measured(tmp_path, *CELL, "--rate-limit", "4")

    assert ["TPUT", "TT", "E2E", "TTFT", "TPOT"] * 3 == [row["metric"] for row in rows]
    assert [1.0] * 5 + [2.0] * 5 + [4.0] * 5 == [row["request_rate"] for row in rows]
    shared = {"input_tokens": 16, "output_tokens": 8, "seed": 0, "model": "m", "temperature": 0.0, "samples": 20}
    assert all(shared.items() <= row.items() for row in rows)
    assert all({"mean", "P50", "P90", "P99"} <= row.keys() for row in rows if row["metric"] not in ("TPUT", "TT"))


def test_the_knee_is_that_of_a_fine_scan(tmp_path: Path):
    """The meter itself says in steps of 1 % where the SLO breaks."""
    measured(tmp_path, *CELL, "--slo", "itl=0.05", "--num-prompts", "400")
    points = parse_points((tmp_path / "b.jsonl").read_bytes()).points
    inside = max(
        p.load.rate for p in points if not p.load.concurrency and p.mean("TPOT") < 0.05 and not p.is_backlogged
    )
    meter = ModelMeter(GPUS["L20"], Span(400))
    scan = [inside * 1.01**step for step in range(-8, 12)]
    kept = [asyncio.run(meter.measure(Load(16, 8, rate))).mean("TPOT") < 0.05 for rate in scan]

    assert inside / 1.05 <= max(rate for rate, is_kept in zip(scan, kept, strict=True) if is_kept) <= 1.05 * inside
    assert len(points) <= 9


def test_what_is_there_is_not_measured_again(tmp_path: Path):
    before = measured(tmp_path, *CELL, "--rate-limit", "2")

    after = measured(tmp_path, *CELL, "--rate-limit", "4")

    assert (before, 15) == (after[:10], len(after))
    assert after == measured(tmp_path, *CELL, "--rate-limit", "4")


def test_a_closed_loop_is_measured(tmp_path: Path):
    rows = measured(tmp_path, *CELL, "--concurrency", "1,4")

    assert [1, 4] == [row["concurrency"] for row in rows if row["metric"] == "TPUT"]


def test_a_dry_run_prints_the_points(tmp_path: Path):
    result = run("bench-engine", "--dry-run", "-o", str(tmp_path / "b.jsonl"))

    lines = result.stdout.splitlines()
    assert (0, 848, "121 pairs of lengths, 847 points") == (result.exit_code, len(lines), lines[-1])
    assert ("4 input, 4 output tokens, 1 req/s", "4096 input, 4096 output tokens, 64 req/s") == (lines[0], lines[-2])
    assert [] == list(tmp_path.iterdir())


def test_a_dry_run_of_knees_prints_the_lengths():
    result = run("bench-engine", "--dry-run", *CELL, "--slo", "ttft=2")

    assert ["16 input, 8 output tokens, the knee of 1 SLOs", "1 pairs of lengths, 6 to 8 points each"] == (
        result.stdout.splitlines()
    )


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("--nope",), 2, "No such option"),
        (("extra",), 2, "unexpected extra argument"),
        (("--rate-start", "0"), 2, "rate-start"),
        (("--rate-start", "nan"), 2, "must be a finite number"),
        (("--rate-start", "9", "--rate-limit", "8"), 2, "start = 9, must be at most the limit, 8"),
        (("--input-start", "8", "--input-limit", "4"), 2, "start = 8, must be at most the limit, 4"),
        (("--concurrency", "0"), 2, "each must be at least 1"),
        (("--concurrency", "x"), 2, "must be numbers"),
        (("--slo", "x"), 2, "forebay: 'x': must be NAME=NUMBER"),
        (("--slo", "ttft=1", "--concurrency", "1"), 2, "exclude each other"),
        (("--from-sim", "L21"), 2, "forebay: gpu = 'L21', must be one of"),
        (("--workload", "/nowhere"), 2, "forebay: /nowhere: cannot be read"),
    ],
)
def test_options_that_are_none_are_errors(tmp_path: Path, arguments: tuple[str, ...], status: int, named: str):
    result = run("bench-engine", "-o", str(tmp_path / "b.jsonl"), *arguments)

    assert status == result.exit_code, result.output
    assert named in result.stderr


def test_an_engine_that_is_away_is_an_error_of_one_line(tmp_path: Path):
    port = free_port()

    result = run("bench-engine", "-o", str(tmp_path / "b.jsonl"), "--port", str(port))

    assert 1 == result.exit_code
    assert result.stderr.startswith(f"Error: http://localhost:{port}: ")
    assert 1 == len(result.stderr.splitlines())


def test_ctrl_c_keeps_what_is_measured(tmp_path: Path):
    out = tmp_path / "b.jsonl"
    command = [sys.executable, "-m", "forebay", "bench-engine", "-m", "m", "-o", str(out), "--from-sim", "L20"]
    heard = ["env", "--default-signal=INT", *command]  # whoever started the tests in the background had it ignored
    with subprocess.Popen(heard, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (out.exists() and out.stat().st_size > 10_000):
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()

    assert 130 == process.returncode
    assert f"forebay: interrupted: {out} keeps what was measured, run it again to go on" == said.splitlines()[-1]
    assert len(parse_points(out.read_bytes()).points) > 5


def test_the_program_says_whose_it_is():
    program = Path(sys.executable).with_name("aibrix_benchmark")

    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    helped = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout

    assert f"aibrix_benchmark of Forebay, version {metadata.version('forebay')}\n" == said
    for option in (
        "-m",
        "-o",
        "--input-start",
        "--output-limit",
        "--rate-limit",
        "--workload",
        "--api-key",
        "--dry-run",
    ):
        assert option in helped
