"""The command line: its help, its version, and errors as lines instead of tracebacks."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.config.loading import ConfigurationError
from kube.errors import NoWayError
from tests.support.command import run


def test_help_lists_every_command():
    result = run("--help")

    assert 0 == result.exit_code
    for command in ("up", "gateway", "engine", "envoy-config", "check-config", "config-docs", "config-schema"):
        assert f"\n  {command} " in result.output


def test_help_imports_nothing_that_commands_run():
    code = "import sys, forebay.cli.main\ntry: forebay.cli.main.main(['--help'])\nfinally: print(*sys.modules)"
    command = [sys.executable, "-c", code]

    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout

    assert "click" in output.split()
    assert {"pydantic", "yaml", "fastapi", "prometheus_client", "grpc"}.isdisjoint(output.split())


def test_the_version_is_printed():
    result = run("--version")

    assert (0, "forebay ") == (result.exit_code, result.output[:8])


@pytest.mark.parametrize("arguments", [("up", "--engines", "-1"), ("up", "--workers", "0"), ("gateway",), ("nope",)])
def test_impossible_options_are_usage_errors(arguments):
    assert 2 == run(*arguments).exit_code


@pytest.mark.parametrize("option", [
    "plan --slo=ttft=nan", "plan --slo=e2e=inf", "plan --margin=inf", "plan --margin=nan", "plan --speedup=nan",
    "simulate --slo-ttft=nan", "simulate --slo-itl=inf", "simulate --scrape-interval=nan", "engine --tokens-per-s=inf",
])  # fmt: skip
def test_an_option_must_be_a_finite_number(option: str):
    result = run(*option.split())

    assert (2, True) == (result.exit_code, "must be a finite number" in result.output)


@pytest.mark.parametrize(
    ("missing", "command", "extra", "arguments"),
    [
        ("envoy", "forebay up", "up", ("up",)),
        ("zmq", "forebay engine --kv-events", "simulate", ("engine", "--model=m", "--port=0", "--kv-events=ipc://x")),
        ("httpx", "forebay calibrate", "simulate", ("calibrate", "--base-url=u", "--model=m", "--output=f")),
    ],
)
def test_a_command_without_its_extra_says_in_one_line_which_it_needs(monkeypatch, missing, command, extra, arguments):
    monkeypatch.setitem(sys.modules, missing, None)

    result = run(*arguments)

    assert (1, f"Error: {command} needs the extra {extra}: pip install 'forebay[{extra}]'\n") == (
        result.exit_code,
        result.output,
    )


def test_a_cluster_without_a_way_to_it_is_one_line(replaced):
    def fail(*_: Any, **__: Any) -> None:
        raise NoWayError("kubeconfig = k: it is no kubeconfig")

    replaced("forebay.local.service", run=fail)

    result = run("gateway", "--config", "f.yaml")

    assert (1, "Error: kubeconfig = k: it is no kubeconfig\n") == (result.exit_code, result.stderr)


def test_every_configuration_error_is_printed_as_lines_with_status_2(replaced):
    def fail(*_: Any, **__: Any) -> None:
        raise ConfigurationError(("a = 1, rule", "b = 2, rule"))

    replaced("forebay.local.service", run=fail)

    result = run("gateway", "--config", "f.yaml")

    assert (2, "forebay: a = 1, rule\nforebay: b = 2, rule\n") == (result.exit_code, result.stderr)
