"""The command line: options reach their parts, errors are lines and never tracebacks."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.config.loading import ConfigurationError
from gateway.config.page import configuration_page
from gateway.config.settings import Settings
from tests.support.configuration import STRATEGIES, written


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def replaced(monkeypatch) -> Callable[..., None]:
    """Puts a module with these names in place of one that would start processes."""

    def replace(name: str, **names: Any) -> None:
        module = ModuleType(name)
        vars(module).update(names)
        package = name.rpartition(".")[0]
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setitem(sys.modules, name, module)

    return replace


@pytest.fixture
def calls() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def record(calls) -> Callable[..., None]:
    return lambda *positional, **named: calls.append((*positional, named))


@pytest.fixture(autouse=True)
def known_strategies(replaced):
    replaced("routing.table", STRATEGIES=dict.fromkeys(STRATEGIES))


def test_help_lists_every_command():
    result = run("--help")

    assert 0 == result.exit_code
    for command in ("up", "gateway", "engine", "envoy-config", "check-config", "config-docs"):
        assert f"\n  {command} " in result.output


def test_help_imports_none_of_the_parts():
    code = "import sys, gateway.cli\ntry: gateway.cli.main(['--help'])\nfinally: print(*sys.modules)"
    command = [sys.executable, "-c", code]

    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout

    assert "click" in output.split()
    assert {"pydantic", "yaml", "fastapi", "prometheus_client", "grpc"}.isdisjoint(output.split())


def test_the_version_is_told():
    result = run("--version")

    assert (0, "forebay ") == (result.exit_code, result.output[:8])


def test_up_passes_its_options_on(replaced, record, calls):
    replaced("gateway.local.up", run=record)

    defaults = run("up")
    chosen = run("up", "--engines", "5", "--workers", "2", "--gpu", "L20", "--strategy", "random", "--data", "there")

    assert (0, 0) == (defaults.exit_code, chosen.exit_code)
    assert [
        ({"engines": 3, "workers": 1, "gpu": "", "strategy": "", "data": Path(".forebay"), "base": None},),
        ({"engines": 5, "workers": 2, "gpu": "L20", "strategy": "random", "data": Path("there"), "base": None},),
    ] == calls


@pytest.mark.parametrize("arguments", [("up", "--engines", "-1"), ("up", "--workers", "0"), ("gateway",), ("nope",)])
def test_impossible_options_are_usage_errors(arguments):
    assert 2 == run(*arguments).exit_code


def test_gateway_runs_the_service(replaced, record, calls):
    replaced("gateway.local.service", run=record)

    result = run("gateway", "--config", "f.yaml", "--workers", "4")

    assert (0, [(Path("f.yaml"), 4, {})]) == (result.exit_code, calls)


def test_engine_serves_what_it_is_told(replaced, record, calls):
    replaced("simulator.serving.server", serve=record)

    result = run("engine", "--model", "m", "--port", "0", "--tokens-per-s", "50", "--seed", "7", "--count", "2")

    assert 0 == result.exit_code
    named = {
        "count": 2, "name": "", "gpu": "", "tokens_per_s": 50.0, "max_running": None, "max_waiting": None,
        "max_model_len": None, "adapters": (), "metrics": "vllm", "kv_events": "", "seed": 7,
    }  # fmt: skip
    assert [("m", "127.0.0.1", 0, named)] == calls


def test_an_engine_that_cannot_start_says_why_in_one_line(replaced):
    def serve(*_: Any, **__: Any) -> None:
        raise OSError("address already in use")

    replaced("simulator.serving.server", serve=serve)

    result = run("engine", "--model", "m", "--port", "1")

    assert (1, "Error: address already in use\n") == (result.exit_code, result.output)


def test_a_configuration_error_from_anywhere_is_lines_and_status_2(replaced):
    def fail(*_: Any, **__: Any) -> None:
        raise ConfigurationError(("a = 1, rule", "b = 2, rule"))

    replaced("gateway.local.service", run=fail)

    result = run("gateway", "--config", "f.yaml")

    assert (2, "forebay: a = 1, rule\nforebay: b = 2, rule\n") == (result.exit_code, result.stderr)


def test_envoy_config_prints_what_is_rendered_from_the_file(replaced, tmp_path):
    def render(settings: Settings) -> Mapping[str, object]:
        return {"listen": settings.envoy.listen, "models": [model.name for model in settings.models]}

    replaced("gateway.envoy.config", render=render)
    written(tmp_path, "[{name: m}]", "fleet.yaml")
    file = written(tmp_path, "{models_file: fleet.yaml, envoy: {listen: '127.0.0.1:9'}}")

    assert "listen: 127.0.0.1:9\nmodels:\n- m\n" == run("envoy-config", "--config", str(file)).output


def test_a_good_file_is_ok_and_summarised_without_secrets(tmp_path):
    file = written(
        tmp_path,
        """
        redis: {url: "redis://:hush@cache:6379/0"}
        models: [{name: m, endpoints: [{address: "10.0.0.1:8000"}]}, {name: n}]
        """,
    )

    result = run("check-config", str(file))

    assert 0 == result.exit_code
    assert f"{file}: ok" == result.output.splitlines()[0]
    assert "  models: m (1 endpoints), n (0 endpoints)" in result.output
    assert "redis://***@cache:6379/0" in result.output


def test_a_bad_file_gets_every_problem_and_status_1(tmp_path):
    file = written(tmp_path, "{redis: {timeout_s: -1}, strategy: random}")

    result = run("check-config", str(file))

    assert (1, [
        f"{file}: redis.timeout_s = -1, must be greater than 0",
        f"{file}: strategy is unknown, did you mean routing.strategy?",
    ]) == (result.exit_code, result.output.splitlines())  # fmt: skip


def test_a_bad_models_file_is_found_too(tmp_path):
    file = written(tmp_path, "models_file: fleet.yaml")

    result = run("check-config", str(file))

    assert 1 == result.exit_code
    assert "fleet.yaml: no such file" in result.output


def test_config_docs_prints_the_page():
    assert configuration_page() == run("config-docs").output
