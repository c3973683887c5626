"""The commands for a running installation: `doctor`, `top`, `users`, `keys` and `limits`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result

from forebay.cli.main import main
from tests.support.source_tree import ROOT
from tests.support.stack import Stack


def run(stack: Stack, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(stack.data)])


def findings(stack: Stack) -> dict[str, dict[str, str]]:
    return {each["subject"]: each for each in map(json.loads, run(stack, "doctor", "--json").output.splitlines())}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_doctor_finds_every_server_of_a_running_installation_well(stack: Stack):
    found = findings(stack)

    engines = [f"engine {engine['name']}" for engine in stack.processes("engine")]
    servers = ["configuration", "redis", "gateway", "envoy", *engines]
    assert dict.fromkeys(servers, "ok") == {name: found[name]["state"] for name in servers}
    assert stack.model in found[engines[0]]["text"]


def test_the_doctor_names_the_engine_that_says_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("forebay.local.asking.TIMEOUT_S", 0.5)
    first, _ = stack.processes("engine")
    with stopped(first["pid"]):
        result = run(stack, "doctor")

    (line,) = [line for line in result.output.splitlines() if line.startswith("problem")]
    assert 1 == result.exit_code
    assert f"engine {first['name']}" in line
    assert "gives no answer" in line


def test_top_shows_the_requests_that_end_between_two_looks(stack: Stack):
    user = stack.user()
    words = [sys.executable, "-m", "forebay", "top", "--once", "--json", "--data", str(stack.data)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as top:
        while top.poll() is None:
            assert 200 == stack.chat(user, max_tokens=5).status_code
        assert top.stdout
        look = json.loads(top.stdout.read())

    (model,) = [row for row in look["models"] if row["model"] == stack.model]
    assert {engine["name"] for engine in stack.processes("engine")} <= {pod["pod"] for pod in look["pods"]}
    assert 0 < model["requests_per_s"] < model["output_tokens_per_s"]


def administer(stack: Stack, group: str, *words: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, [group, "--data", str(stack.data), *words])
    assert status == result.exit_code, result.output
    return result.output


def test_a_user_is_made_limited_refused_and_deleted_by_commands(stack: Stack):
    assert "Created User: typed\n" in administer(stack, "users", "create", "typed", "rpm=1", "tpm=500")
    assert "name=typed  rpm=1  tpm=500\n" in administer(stack, "users", "list")
    assert "would be admitted\n" == administer(stack, "limits", "check", "typed", "--tokens", "5")
    assert 200 == stack.chat("typed", max_tokens=5).status_code
    stack.settled()

    assert "requests=1  tokens=17" in administer(stack, "limits", "show", "typed")
    refused = administer(stack, "limits", "check", "typed", "--tokens", "5", status=1)
    assert refused.startswith("would be refused by rpm=1; would be admitted in ")
    assert "rpm=2\n  tpm=500" in administer(stack, "users", "update", "typed", "rpm=2")
    assert "Deleted User: typed\n" in administer(stack, "users", "delete", "typed")
    assert "Error: User: typed does not exist\n" == administer(stack, "users", "show", "typed", status=1)


def test_a_key_is_made_listed_and_revoked_by_commands(stack: Stack):
    user = stack.user()
    made = administer(stack, "keys", "create", user, "name=laptop")
    (key_id,) = [line.partition("=")[2] for line in made.splitlines() if line.startswith("  id=")]

    assert "secret, not shown again: fby-" in made
    listed = administer(stack, "keys", "list", user)
    assert key_id in listed
    assert "secret" not in listed
    assert f"Revoked Key: {key_id}\n" in administer(stack, "keys", "revoke", user, key_id)
    assert "" == administer(stack, "keys", "list", user)
