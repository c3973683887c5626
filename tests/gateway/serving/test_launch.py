"""How workers are started: their command, environment and hosting Envoy."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.config.settings import ListenSettings, Settings
from gateway.serving import launch
from gateway.serving.launch import worker_launch
from gateway.serving.variables import ADDRESS_VARIABLE, CONFIG_VARIABLE, INDEX_VARIABLE

LISTEN = ListenSettings(grpc="127.0.0.1:1", http="127.0.0.1:2", admin="127.0.0.1:3", workers=("127.0.0.1:4",))


def addresses(listener: dict[str, Any]) -> set[int]:
    every = [listener["address"], *(one["address"] for one in listener["additional_addresses"])]
    return {one["socket_address"]["port_value"] for one in every}


def test_one_listener_of_the_hosting_envoy_has_all_addresses(tmp_path: Path):
    started = worker_launch(Settings(listen=LISTEN, transport="pyvoy"), tmp_path / "f.yaml", 0, tmp_path)

    (listener,) = json.loads((tmp_path / "worker-0.json").read_text())["static_resources"]["listeners"]
    assert {1, 2, 3, 4} == addresses(listener)
    assert ("127.0.0.1:4", "http://127.0.0.1:4/control/drain") == (started.address, started.drain_url)


def test_a_worker_learns_its_place_from_the_environment(tmp_path: Path):
    started = worker_launch(Settings(), tmp_path / "f.yaml", 2, tmp_path)
    assert {
        CONFIG_VARIABLE: str(tmp_path / "f.yaml"),
        INDEX_VARIABLE: "2",
        ADDRESS_VARIABLE: started.address,
    }.items() <= started.env.items()


def test_an_envoy_that_hosts_python_is_given_the_shared_libpython(tmp_path: Path):
    started = worker_launch(Settings(transport="pyvoy"), tmp_path / "f.yaml", 0, tmp_path)
    assert "libpython" in started.env["LD_PRELOAD"]


@pytest.mark.parametrize("transport", ["http2", "grpc"])
def test_the_plain_transports_are_this_interpreter_and_drain_on_sigterm(
    tmp_path: Path, transport: Literal["http2", "grpc"]
):
    started = worker_launch(Settings(transport=transport), tmp_path / "f.yaml", 0, tmp_path)
    assert ((sys.executable, "-m", "gateway.serving.plain_worker"), "") == (started.argv, started.drain_url)


def test_without_a_shared_libpython_our_own_server_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch.find_libpython, "find_libpython", lambda: None)
    started = worker_launch(Settings(transport="pyvoy"), tmp_path / "f.yaml", 0, tmp_path)
    assert "gateway.serving.plain_worker" == started.argv[-1]
