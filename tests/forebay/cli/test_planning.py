"""`forebay plan`: one line of JSON, or every problem on a line and status 2."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.command import run


def a_file(folder: Path, text: str) -> str:
    file = folder / "case.json"
    file.write_text(text)
    return str(file)


def test_a_case_is_answered_with_one_line_of_json(tmp_path: Path):
    case = a_file(tmp_path, '{"gpus": {"a": {"cost": 2, "throughput": [3, 0]}}, "rate": [7, 1]}')

    command = [sys.executable, "-m", "forebay", "plan", "--json", case]
    result = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (0, "", 1) == (result.returncode, result.stderr, len(result.stdout.splitlines()))
    answer = json.loads(result.stdout)
    assert ({"a": 3}, 6.0, [0.0, 1.0], True) == tuple(
        answer[key] for key in ("replicas", "cost", "unserved", "verified")
    )
    assert 0 < answer["solve_s"] < 60


def test_bad_input_is_status_2_with_one_line_per_problem(tmp_path: Path):
    case = a_file(tmp_path, '{"gpus": {"a": {"cost": -2, "throughput": [3]}}, "rate": [NaN], "more": 1}')

    result = run("plan", "--json", case)

    assert (2, "") == (result.exit_code, result.stdout)
    assert [
        f"forebay: {case}: more: unknown key, known are gpus, rate, headroom, current, time_limit_s",
        f"forebay: {case}: rate[0] = NaN, must be a number >= 0",
        f"forebay: {case}: gpus.a.cost = -2, must be a number >= 0",
    ] == result.stderr.splitlines()


def test_a_file_that_is_not_there_is_status_2(tmp_path: Path):
    result = run("plan", "--json", str(tmp_path / "gone.json"))

    assert (2, [f"forebay: {tmp_path}/gone.json: cannot be read: No such file or directory"]) == (
        result.exit_code,
        result.stderr.splitlines(),
    )


def test_without_highs_the_answer_says_greedy(tmp_path: Path, replaced):
    replaced("highspy")  # has nothing in it
    sys.modules["highspy"] = None
    case = a_file(tmp_path, '{"gpus": {"a": {"cost": 2, "throughput": [3]}}, "rate": [7]}')

    result = run("plan", "--json", case)

    assert ("greedy", {"a": 3}) == tuple(json.loads(result.stdout)[key] for key in ("solver", "replicas"))
    assert ["forebay: without the extra optimizer (HiGHS) the plan is greedy and may be dearer"] == (
        result.stderr.splitlines()
    )
