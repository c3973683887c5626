"""`forebay profile`, also as `aibrix_gen_profile`: from a file or an engine model; errors leave nothing half done."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from forebay.cli.options import renamed
from forebay.cli.profiling import profile
from optimizer.profiles.profile import parse_profile
from optimizer.profiling.points import lines_of
from tests.support.command import run
from tests.support.measured import a_grid
from tests.support.ports import free_port

SMALL = ("--input-start", "16", "--input-limit", "64", "--output-start", "8", "--output-limit", "32")


def a_benchmark(folder: Path, name: str = "bench.jsonl") -> str:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(lines_of(point, {"max_running": 64}) for point in a_grid().points))
    return str(file)


def refused(*arguments: str) -> list[str]:
    """The lines of a command that fails with status 2 and prints nothing else."""
    result = run("profile", *arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    return result.stderr.splitlines()


def test_a_benchmark_becomes_a_profile(tmp_path: Path):
    out = tmp_path / "m.json"

    result = run(
        "profile", "m-l20", "--benchmark", a_benchmark(tmp_path), "--cost", "1.5", "--ttft", "0.3", "-o", str(out)
    )

    assert (0, f"{out}: written\n") == (result.exit_code, result.stdout)
    found = parse_profile(out.read_text())
    assert ("m-l20", 1.5, 0.3) == (found.deployment, found.cost, found.slo.ttft_s)
    assert 0 < found.at(300, 40, slowdown=1.5).rate < found.at(300, 40).rate


def test_without_an_output_the_profile_is_printed(tmp_path: Path):
    result = run(
        "profile", "m", "--benchmark", a_benchmark(tmp_path), "--ttft", "0.3", "--class", "itl=0.1", "--verify", "-v"
    )

    assert {"percentile": 0.0, "itl": 0.1} == json.loads(result.stdout)["classes"][0]["slos"]
    assert "verify: E2E of 4 points" in result.stderr
    assert "16 input, 64 output tokens: 1 req/s" in result.stderr


def test_the_default_file_is_that_of_the_deployment(tmp_path: Path, monkeypatch):
    a_benchmark(tmp_path / "result", "m-l20.jsonl")
    monkeypatch.chdir(tmp_path)

    assert 0 == run("profile", "m-l20", "--ttft", "2", "-o", "m.json").exit_code
    assert ["forebay: result/m.jsonl: cannot be read: No such file or directory"] == refused("m")


def test_an_engine_model_becomes_a_profile_with_a_picture(tmp_path: Path):
    picture = tmp_path / "l20.png"

    result = run(
        "profile", "l20", "--from-sim", "L20", "--ttft", "2", "--itl", "0.1", *SMALL, "--picture", str(picture)
    )

    page = json.loads(result.stdout)
    assert ([[8, 32], [16, 64]], "forebay profile --from-sim L20") == (page["indexes"], page["source"]["by"])
    assert page["fit"]["r2"] > 0.9
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--from-sim", "L21"), "forebay: gpu = 'L21', must be one of: L4"),
        (("--from-sim", "L20", *SMALL, "--ttft", "0.001"), "forebay: no measured rate keeps the SLO"),
        (("--from-sim", "L20", "--input-start", "9000", "--input-limit", "9000"), "forebay: all lengths are longer"),
        (("--from-sim", "L20", "--class", "x"), "forebay: 'x': must be NAME=NUMBER"),
        (("--from-sim", "L20", "-o", "redis://localhost"), "forebay: the Redis URL must end with ?model=NAME"),
        (("--from-sim", "L20", "-o", "/nowhere/a.json"), "forebay: /nowhere/a.json: its directory is not there"),
    ],
)
def test_bad_input_is_status_2_with_a_line(arguments: tuple[str, ...], named: str):
    assert refused("m", *arguments)[-1].startswith(named)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--ttft", "nan"),
        ("--ttft", "0"),
        ("--cost", "-1"),
        ("--percentile", "100"),
        ("--nope",),
        ("--input-start", "0"),
    ],
)
def test_options_that_are_none_are_errors(arguments: tuple[str, ...]):
    assert 2 == run("profile", "m", *arguments).exit_code


def test_two_sources_are_an_error(tmp_path: Path):
    assert "exclude each other" in refused("m", "--from-sim", "L20", "--benchmark", a_benchmark(tmp_path))[-1]


def test_rows_that_are_none_leave_the_old_profile(tmp_path: Path):
    file, out = tmp_path / "bad.jsonl", tmp_path / "m.json"
    file.write_text('{"metric": "TPUT", "input_tokens": 4, "output_tokens": 4, "request_rate": 0, "mean": NaN}\n')
    out.write_text("old")

    assert [
        f"forebay: {file}: line 1: request_rate = 0, must be a number > 0",
        f"forebay: {file}: line 1: mean = NaN, must be a number >= 0",
    ] == refused("m", "--benchmark", str(file), "-o", str(out))[:2]
    assert "old" == out.read_text()


def test_redis_that_is_away_is_an_error_of_one_line(tmp_path: Path):
    place = f"127.0.0.1:{free_port()}"

    result = run("profile", "m", "--benchmark", a_benchmark(tmp_path), "--ttft", "2", "-o", f"redis://{place}/?model=m")

    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.splitlines()[-1].startswith(f"Error: Redis at {place}: ")


def test_a_picture_needs_an_extra(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("forebay.local.extras.find_spec", lambda name: None)

    result = run(
        "profile", "m", "--benchmark", a_benchmark(tmp_path), "--ttft", "2", "--picture", str(tmp_path / "a.png")
    )

    assert 1 == result.exit_code
    assert "--picture needs the extra simulate: pip install 'forebay[simulate]'" in result.stderr


def test_the_program_of_that_name_says_whose_it_is():
    program = renamed(profile, "aibrix_gen_profile")

    said = CliRunner().invoke(program, ["--version"])
    helped = CliRunner().invoke(program, ["-h"])

    assert f"aibrix_gen_profile of Forebay, version {metadata.version('forebay')}\n" == said.output
    assert 0 == helped.exit_code
    for option in (
        "--benchmark",
        "--tput",
        "--tt",
        "--e2e",
        "--ttft",
        "--tpat",
        "--tpot",
        "--percentile",
        "--cost",
        "-o",
        "-v",
    ):
        assert option in helped.output


def test_it_is_installed_as_a_program():
    program = Path(sys.executable).with_name("aibrix_gen_profile")

    assert 0 == subprocess.run([program, "--help"], check=False, capture_output=True).returncode


def test_a_gateway_that_is_away_is_an_error_of_one_line():
    url = f"http://127.0.0.1:{free_port()}"

    result = run("profile", "m", "--from-live", url, "--ttft", "2")

    assert (1, 1) == (result.exit_code, len(result.stderr.splitlines()))
    assert result.stderr.startswith(f"Error: {url}/debug/fleet: ")
