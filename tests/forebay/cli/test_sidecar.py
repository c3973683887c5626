"""`forebay runtime`, also as `aibrix_runtime`."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.command import run


def test_it_says_whose_command_it_is():
    program = Path(sys.executable).with_name("aibrix_runtime")

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout

    assert f"aibrix_runtime of Forebay, version {metadata.version('forebay')}\n" == said


@pytest.mark.parametrize("option", ["--host", "--port", "--enable-fastapi-docs"])
def test_it_has_the_options_of_aibrix(option: str):
    assert option in run("runtime", "--help").output


def test_every_variable_that_cannot_be_used_is_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INFERENCE_ENGINE_ENDPOINT", "localhost")
    monkeypatch.setenv("METRICS_RAW_PASSTHROUGH_MODE", "maybe")

    result = run("runtime", "--port", "1")

    assert 2 == result.exit_code
    assert [
        "forebay: INFERENCE_ENGINE_ENDPOINT = localhost, must be http://host:port or https://host:port",
        "forebay: METRICS_RAW_PASSTHROUGH_MODE = maybe, must be 1 or 0",
    ] == result.output.splitlines()


def test_a_port_that_is_none_is_a_usage_error():
    assert 2 == run("runtime", "--port", "99999").exit_code
