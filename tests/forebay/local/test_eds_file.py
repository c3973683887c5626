"""The file of Envoy's endpoints follows discovery."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from forebay.local import eds_file
from forebay.local.eds_file import eds_file_kept_current, written_from
from gateway.config.loading import ConfigurationError
from gateway.config.settings import EndpointSettings, EnvoySettings, ModelSettings, Settings
from gateway.discovery.description import FleetDescription
from tests.support.pods import a_description, an_endpoint
from tests.support.polling import until


class Fleets:
    """A discovery that yields the fleets that the test publishes."""

    def __init__(self, *fleets: FleetDescription) -> None:
        self._fleets: asyncio.Queue[FleetDescription] = asyncio.Queue()
        for fleet in fleets:
            self.publish(fleet)

    def publish(self, fleet: FleetDescription) -> None:
        self._fleets.put_nowait(fleet)

    async def watch(self) -> AsyncIterator[FleetDescription]:
        while True:
            yield await self._fleets.get()


def fleet_of(*addresses: str) -> FleetDescription:
    return a_description(*(an_endpoint(address, address=address) for address in addresses))


def write_models(file: Path, *addresses: str) -> None:
    file.write_text(yaml.safe_dump([{"name": "m", "endpoints": [{"address": address} for address in addresses]}]))


def settings_with(eds: Path, models_file: Path) -> Settings:
    return Settings(envoy=EnvoySettings(eds_file=str(eds)), models_file=str(models_file))


async def test_the_file_is_written_before_the_block_and_after_each_change_until_it_ends(tmp_path: Path):
    eds = tmp_path / "eds.json"
    discovery = Fleets(fleet_of("10.0.0.1:8000"))

    async with written_from(discovery, eds, [].append):
        assert "10.0.0.1" in eds.read_text()
        discovery.publish(fleet_of("10.0.0.1:8000", "10.0.0.22:8000"))
        await until(lambda: "10.0.0.22" in eds.read_text())

    before = eds.read_bytes()
    discovery.publish(FleetDescription())
    await asyncio.sleep(0.05)  # time to write it, which must not happen any more
    assert before == eds.read_bytes()


async def test_a_later_write_that_fails_is_reported_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(eds_file, "RETRY_S", 0.01)
    lines: list[str] = []
    eds = tmp_path / "eds.json"
    discovery = Fleets(fleet_of("10.0.0.1:8000"))

    async with written_from(discovery, eds, lines.append):
        eds.unlink()
        eds.mkdir()
        discovery.publish(fleet_of("10.0.0.2:8000"))
        await until(lambda: bool(lines))
        assert f"{eds} cannot be written, the endpoints stay as they were" in lines[0]

        eds.rmdir()
        await until(lambda: eds.is_file() and "10.0.0.2" in eds.read_text())


async def test_a_first_write_that_fails_is_an_error_of_the_configuration(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"envoy.eds_file = .*, cannot be written: Is a directory"):
        async with written_from(Fleets(FleetDescription()), tmp_path, [].append):
            pass


async def test_models_in_the_configuration_itself_are_written(tmp_path: Path):
    model = ModelSettings(name="m", endpoints=(EndpointSettings(address="10.0.0.9:8000"),))
    eds = tmp_path / "eds.json"

    async with eds_file_kept_current(Settings(envoy=EnvoySettings(eds_file=str(eds)), models=(model,)), [].append):
        assert "10.0.0.9" in eds.read_text()


async def test_without_an_eds_file_nothing_is_read_or_written(tmp_path: Path):
    async with eds_file_kept_current(Settings(models_file=str(tmp_path / "absent.yaml")), [].append):
        pass
    assert [] == list(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs in this test


async def test_a_models_file_that_is_broken_at_first_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="no such file"):
        async with eds_file_kept_current(settings_with(tmp_path / "eds.json", tmp_path / "absent.yaml"), [].append):
            pass


async def test_a_models_file_that_breaks_later_keeps_the_endpoints_and_says_why(tmp_path: Path):
    eds, models, lines = tmp_path / "eds.json", tmp_path / "models.yaml", list[str]()
    write_models(models, "10.0.0.1:8000")

    async with eds_file_kept_current(settings_with(eds, models), lines.append):
        models.write_text("- name: m\n  endpoint: []\n")
        await until(lambda: bool(lines))
        assert f"{models} is not used, the endpoints stay as they were" in lines[0]
        assert "did you mean endpoints?" in lines[0]
        assert "10.0.0.1" in eds.read_text()

        write_models(models, "10.0.0.33:8000")
        await until(lambda: "10.0.0.33" in eds.read_text())
    assert 1 == len(lines)
