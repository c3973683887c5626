"""`forebay simulate` as a command: files, options, errors."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forebay.cli.main import main

LINE = '{{"timestamp": {at}, "input_length": 600, "output_length": 3, "hash_ids": [0, {at}]}}'


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(LINE.format(at=at) for at in range(1, 9)))
    return file


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def test_strategies_and_speedups_are_compared_in_one_table(trace: Path):
    result = simulate("--trace", trace, "--pods", 2, "--strategy", "round-robin,random", "--speedup", "1,4")

    assert 0 == result.exit_code, result.output
    header = next(line for line in result.output.splitlines() if line.startswith(" ") and "1x" in line)
    assert ["round-robin", "1x", "random", "1x", "round-robin", "4x", "random", "4x"] == header.split()


def test_the_assignments_name_every_request_once(trace: Path, tmp_path: Path):
    file = tmp_path / "out.jsonl"
    result = simulate("--trace", trace, "--pods", 2, "--strategy", "round-robin", "--assignments", file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]

    assert 0 == result.exit_code, result.output
    assert [(at, f"pod-{1 - at % 2}") for at in range(1, 9)] == [(line["timestamp"], line["pod"]) for line in lines]


def test_each_replay_has_assignments_of_its_own(trace: Path, tmp_path: Path):
    simulate("--trace", trace, "--strategy", "random", "--speedup", "1,2.5", "--assignments", tmp_path / "out.jsonl")

    assert ["out-random-1x.jsonl", "out-random-2.5x.jsonl"] == sorted(path.name for path in tmp_path.glob("out*"))


def test_another_seed_is_another_replay_with_several_replicas_too(trace: Path, tmp_path: Path):
    def first_pod(seed: int) -> str:
        simulate("--trace", trace, "--replicas", 2, "--seed", seed, "--assignments", tmp_path / "out.jsonl")
        file = tmp_path / "out-forebay-2-replicas-1x.jsonl"
        return json.loads(file.read_text().splitlines()[0])["pod"]

    assert first_pod(1) == first_pod(1)
    assert len({first_pod(seed) for seed in range(4)}) > 1


def test_the_report_is_a_page_with_its_plots(trace: Path, tmp_path: Path):
    result = simulate("--trace", trace, "--report", tmp_path / "new" / "report")
    page = (tmp_path / "new" / "report" / "index.html").read_text()

    assert 0 == result.exit_code, result.output
    assert [] == [path.name for path in (tmp_path / "new" / "report").glob("*.png") if path.name not in page]


def test_without_matplotlib_a_report_says_what_to_install(trace: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = simulate("--trace", trace, "--report", tmp_path / "report")

    assert (1, True) == (result.exit_code, "forebay[simulate]" in result.output)


def test_a_crash_loses_requests(trace: Path):
    result = simulate("--trace", trace, "--pods", 1, "--strategy", "random", "--fault", "crash:pod-0:0.0055:1")

    assert "lost:5" in result.output


def test_an_all_seeing_replay_has_a_column_and_assignments_of_its_own(trace: Path, tmp_path: Path):
    result = simulate("--trace", trace, "--all-seeing", "--scrape-interval", 0, "--assignments", tmp_path / "out.jsonl")

    assert "forebay 1x  forebay, all-seeing 1x" in result.output
    assert ["out-forebay-1x.jsonl", "out-forebay-all-seeing-1x.jsonl"] == sorted(
        path.name for path in tmp_path.glob("out*")
    )


@pytest.mark.parametrize(("interval_s", "even"), [(0.1, True), (6, False)])
def test_strategies_see_engine_metrics_at_every_scrape(tmp_path: Path, interval_s: float, even: bool):
    trace, file = tmp_path / "trace.jsonl", tmp_path / "out.jsonl"
    requests = ({"timestamp": 600 * at, "input_length": 9, "output_length": 2000} for at in range(10))
    trace.write_text("\n".join(map(json.dumps, requests)))
    simulate(
        "--trace", trace, "--pods", 2, "--strategy", "least-utilization", "--scrape-interval", interval_s,
        "--assignments", file,
    )  # fmt: skip
    pods = [json.loads(line)["pod"] for line in file.read_text().splitlines()]

    assert even is all({"pod-0", "pod-1"} == set(pods[turn : turn + 2]) for turn in range(0, 10, 2))


def test_replicas_have_a_line_each_with_and_without_sharing(trace: Path, tmp_path: Path):
    result = simulate("--trace", trace, "--pods", 2, "--replicas", "1,2", "--assignments", tmp_path / "out.jsonl")

    assert 0 == result.exit_code, result.output
    lines = [line.split("  ")[0] for line in result.output.splitlines()[-4:-1]]
    assert ["forebay 1x", "forebay, 2 replicas 1x", "forebay, 2 replicas alone 1x"] == lines
    files = [f"out-{line.replace(',', '').replace(' ', '-')}.jsonl" for line in lines]
    assert sorted(files) == sorted(path.name for path in tmp_path.glob("out*"))


def test_replicas_that_share_use_each_others_caches(tmp_path: Path):
    """One prompt again and again: the first computes it, and whether the others find it depends on what was shared."""
    trace, file = tmp_path / "trace.jsonl", tmp_path / "out.jsonl"
    request = {"input_length": 6000, "output_length": 3, "hash_ids": list(range(12))}
    trace.write_text("\n".join(json.dumps({"timestamp": 5000 * at} | request) for at in range(8)))
    simulate("--trace", trace, "--pods", 4, "--replicas", "4", "--assignments", file)

    def pods(name: str) -> set[str]:
        return {json.loads(line)["pod"] for line in file.with_stem(f"out-forebay-{name}-1x").read_text().splitlines()}

    assert 1 == len(pods("4-replicas"))
    assert len(pods("4-replicas-alone")) > 1


def test_users_have_their_limits(trace: Path):
    result = simulate("--trace", trace, "--users", "a:rpm=1,b", "--strategy", "random")

    assert "3 rpm:3" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "random,nonsense"], "routing strategy = 'nonsense', must be one of"),
        (["--gpu", "X1"], "gpu = 'X1', must be one of"),
        (["--users", "a:3"], "user = 'a:3', must be"),
        (["--strategy", "random", "--strategy", "random:2,nonsense"], "routing strategy = 'random:2,nonsense'"),
        (["--fault", "sulk:pod-0:1:1"], "fault = 'sulk:pod-0:1:1', must be"),
        (["--fault", "crash:pod-9:1:1", "--pods", "2"], "fault on 'pod-9': pods are pod-0 to pod-1"),
        (["--speedup", "fast"], "could not convert string to float: 'fast'"),
        (["--speedup", "0"], "speedup = 0"),
        (["--replicas", "1,0"], "replicas = 0, must be a positive number"),
        (["--replicas", "few"], "invalid literal for int() with base 10: 'few'"),
        (["--trace", "nowhere"], "No such file"),
    ],
)
def test_an_invalid_option_is_one_line(trace: Path, arguments: list[str], message: str):
    result = simulate("--trace", trace, *arguments)

    assert (1, True) == (result.exit_code, message in result.output), result.output
    assert "Traceback" not in result.output


def test_a_file_that_is_no_trace_is_named(trace: Path):
    trace.write_text("nothing")

    assert f"Error: {trace}: neither JSON lines nor a table" in simulate("--trace", trace).output
