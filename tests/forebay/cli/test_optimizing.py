"""The options of `forebay optimizer`, before anything runs."""

from pathlib import Path

import pytest

from forebay.local import extras
from forebay.optimizing import process
from tests.support.command import run
from tests.support.optimizer import a_deployments_file


@pytest.fixture
def deployments(tmp_path: Path) -> str:
    return str(a_deployments_file(tmp_path / "deployments.json", {"name": "d", "model": "m"}))


def test_a_broken_file_is_told_with_all_its_problems(tmp_path: Path):
    path = tmp_path / "deployments.yaml"
    path.write_text("deployments: [{nme: a, model: m, replicas: -1}]")

    result = run("optimizer", "--deployments", str(path))

    assert 2 == result.exit_code
    assert f"forebay: {path}: deployments[0].nme: unknown, did you mean name?\n" in result.output
    assert f"forebay: {path}: deployments[0].replicas = -1, must be" in result.output


def test_a_missing_file_is_one_line(tmp_path: Path):
    result = run("optimizer", "--deployments", str(tmp_path / "x"))

    assert (2, f"forebay: {tmp_path / 'x'}: cannot be read: No such file or directory\n") == (
        result.exit_code,
        result.output,
    )


def test_a_broken_supply_is_told_with_all_its_problems(deployments: str, tmp_path: Path):
    path = tmp_path / "supply.yaml"
    path.write_text("{budget: -1, spot_share: 2}")

    result = run("optimizer", "--deployments", deployments, "--supply", str(path))

    assert (2, 2) == (result.exit_code, result.output.count(f"forebay: {path}: "))


def test_a_missing_profile_is_one_line(deployments: str, tmp_path: Path):
    result = run("optimizer", "--deployments", deployments, "--profiles", str(tmp_path / "x.json"))

    assert (2, f"forebay: --profiles = {tmp_path / 'x.json'}, there is no such file\n") == (
        result.exit_code,
        result.output,
    )


@pytest.mark.parametrize("sources", [(), ("--kubernetes", "--deployments", "x")])
def test_there_must_be_one_source_of_deployments(sources: tuple[str, ...]):
    result = run("optimizer", *sources)

    assert (2, True) == (result.exit_code, "needs --deployments FILE, or --kubernetes" in result.output)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--listen", "8080", "must be host:port"),
        ("--redis", "http://x", "must start with redis://"),
        ("--decide-every", "0", "is not in the range"),
        ("--margin", "0.5", "is not in the range"),
        ("--margin", "nan", "must be a finite number"),
        ("--slo", "ttft", "must be ttft=SECONDS"),
    ],
)
def test_a_wrong_option_is_told_its_rule(deployments: str, option: str, value: str, rule: str):
    result = run("optimizer", "--deployments", deployments, option, value)

    assert 2 == result.exit_code
    assert rule in " ".join(result.output.split())


def test_a_missing_extra_is_named(deployments: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)

    result = run("optimizer", "--deployments", deployments)

    assert "forebay optimizer needs the extra optimizer: pip install 'forebay[optimizer]'" in result.output


@pytest.mark.parametrize(("profiles", "names"), [((), set()), (("--profiles", "bundled"), {"L20", "V100"})])
def test_bundled_profiles_are_there_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, deployments: str, profiles: tuple[str, ...], names: set[str]
):
    seen: list[process.Options] = []
    monkeypatch.setattr(process, "run", lambda options, _source: seen.append(options))

    result = run("optimizer", "--deployments", deployments, *profiles)

    assert 0 == result.exit_code, result.output
    assert [names] == [{"L20", "V100"} & options.bundled.keys() for options in seen]
    assert [False] == [options.is_port_held for options in seen]
