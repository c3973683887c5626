import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forebay.cli.main import main
from tests.support.ports import free_port


def doctor(*words: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *words])


def test_without_a_configuration_only_the_machine_is_looked_at(tmp_path: Path):
    result = doctor("--data", str(tmp_path))

    assert 0 == result.exit_code
    assert "forebay init writes one" in result.output


def test_each_problem_of_a_configuration_is_a_finding(tmp_path: Path):
    (tmp_path / "forebay.yaml").write_text("routng: {}\ndrain_s: -1\n")
    result = doctor("--data", str(tmp_path), "--json")

    problems = [each["text"] for each in map(json.loads, result.output.splitlines()) if each["state"] == "problem"]
    assert 1 == result.exit_code
    assert ["routng", "drain_s"] == [name for name in ("routng", "drain_s") if any(name in text for text in problems)]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_servers_of_a_configuration_are_asked(tmp_path: Path, words: tuple[str, ...]):
    file = tmp_path / "own.yaml"
    places = [f"127.0.0.1:{free_port()}" for _ in range(4)]
    redis, http, envoy, engine = places
    settings = {
        "redis": {"url": f"redis://{redis}"},
        "listen": {"http": http},
        "envoy": {"admin": envoy},
        "models": [{"name": "m", "endpoints": [{"address": engine}]}],
    }
    file.write_text(json.dumps(settings))
    result = doctor("--config", str(file), *words)

    assert 1 == result.exit_code
    assert [place for place in places if place not in result.output] == []
