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


def refused(*arguments: str) -> list[str]:
    """The lines of a command that fails with status 2 and prints nothing else."""
    result = run("plan", *arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    return result.stderr.splitlines()


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


def test_several_models_are_answered_in_one_line(tmp_path: Path):
    model = {"gpus": {name: {"cost": cost, "throughput": [3]} for name, cost in (("a", 2), ("b", 3))}, "rate": [7]}
    case = a_file(tmp_path, json.dumps({"models": {"m": model, "n": model}, "inventory": {"a": 4}}))

    result = run("plan", "--json", case)

    answer = json.loads(result.stdout)
    assert (0, 1, 14.0, True, True) == (
        result.exit_code, len(result.stdout.splitlines()), answer["cost"], answer["joint"], answer["verified"],
    )  # fmt: skip
    assert {"used": 4.0, "most": 4.0} == answer["limits"]["inventory.a"]


def test_bad_input_is_status_2_with_one_line_per_problem(tmp_path: Path):
    case = a_file(tmp_path, '{"gpus": {"a": {"cost": -2, "throughput": [3]}}, "rate": [NaN], "more": 1}')

    assert [
        f"forebay: {case}: more: unknown key, known are time_limit_s, pools, gpus, rate, headroom, current, inventory, "
        "budget, spot_share, spot_share_per_domain, on_demand_min",
        f"forebay: {case}: rate[0] = NaN, must be a number >= 0",
        f"forebay: {case}: gpus.a.cost = -2, must be a number >= 0",
    ] == refused("--json", case)


def test_a_file_that_is_not_there_is_status_2(tmp_path: Path):
    assert [f"forebay: {tmp_path}/gone.json: cannot be read: No such file or directory"] == refused(
        "--json", str(tmp_path / "gone.json")
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


TRACE = "".join(
    json.dumps({"timestamp": 100 * n, "input_length": 128 if n % 4 else 1024, "output_length": 16}) + "\n"
    for n in range(200)
)
PROFILE = {
    "gpu": "a", "cost": 1.0, "indexes": [[16, 64], [128, 1024]], "tputs": [[6.0, 1.5], [3.0, 0.75]],
    "slos": {"e2e": 5.0},
}  # fmt: skip


def files(folder: Path, *profiles: object, trace: str = TRACE) -> list[str]:
    (folder / "trace.jsonl").write_text(trace)
    options = ["--trace", str(folder / "trace.jsonl")]
    for n, profile in enumerate(profiles):
        (folder / f"{n}.json").write_text(json.dumps(profile))
        options += ["--profiles", str(folder / f"{n}.json")]
    return options


def test_a_trace_and_profiles_are_answered_with_buckets_and_notes(tmp_path: Path):
    dear = PROFILE | {"gpu": "b", "cost": 1.9, "tputs": [[6.0, 6.0], [3.0, 3.0]]}

    result = run("plan", *files(tmp_path, PROFILE, dear), "--margin", "1")

    answer = json.loads(result.stdout)
    assert [(128, 16, 7.5), (1024, 16, 2.5)] == [
        tuple(round(bucket[key], 3) for key in ("input_tokens", "output_tokens", "rate"))
        for bucket in answer["buckets"]
    ]
    assert ({"a": 1, "b": 1}, 2.9, True) == tuple(answer[key] for key in ("replicas", "cost", "verified")), answer
    slower = json.loads(run("plan", *files(tmp_path, PROFILE, dear)).stdout)
    faster = json.loads(run("plan", *files(tmp_path, PROFILE, dear), "--margin", "1", "--speedup", "3").stdout)
    assert slower["cost"] > answer["cost"] < faster["cost"]


def test_problems_of_all_files_come_in_one_pass(tmp_path: Path):
    options = files(tmp_path, PROFILE, PROFILE, PROFILE | {"gpu": "b", "cost": -1}, trace="{}")

    assert [
        f"forebay: {tmp_path}/1.json: gpu = a, has a profile already",
        f"forebay: {tmp_path}/2.json: cost = -1, must be a number >= 0",
        f"forebay: {tmp_path}/trace.jsonl: request 1: KeyError: 'timestamp'",
    ] == refused(*options)


def test_an_slo_is_checked_and_needs_a_fit_where_it_is_another(tmp_path: Path):
    options = files(tmp_path, PROFILE)

    assert 0 == run("plan", *options, "--slo", "e2e=5").exit_code
    assert ["forebay: a: measured for e2e <= 5 s, has no fit to plan for others"] == refused(
        *options, "--slo", "ttft=1"
    )
    assert all(refused(*options, "--slo", slo) for slo in ("ttft=0", "x=1", "ttft=1,ttft=2"))


def test_a_load_must_be_given_in_one_way(tmp_path: Path):
    case, options = a_file(tmp_path, "{}"), files(tmp_path, PROFILE)

    both = (["--json", case, *more] for more in (options, options[:2], options[2:]))
    for arguments in ([], *both, options[:2], options[2:]):
        assert "needs --json CASE.json, or --trace and --profiles" in refused(*arguments)[-1]


def test_a_margin_that_would_overflow_is_refused(tmp_path: Path):
    fitted = PROFILE | {"fit": {"alpha": 7, "beta": 0.03, "gamma": 15, "delta": 0.001, "max_batch": 64}}

    assert "1.7e+308 is not in the range" in refused(*files(tmp_path, fitted), "--margin", "1.7e308")[-1]


def test_a_trace_of_more_than_a_year_is_refused(tmp_path: Path):
    assert [f"forebay: {tmp_path}/trace.jsonl: lasts 1.99e+09 s, must be at most 3.16224e+07 s"] == refused(
        *files(tmp_path, PROFILE), "--speedup", "1e-8"
    )
