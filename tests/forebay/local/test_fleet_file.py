"""Envoy's endpoints follow the models file."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from forebay.local import fleet_file
from forebay.local.fleet_file import follow_models, write_endpoints
from gateway.config.settings import EndpointSettings, EnvoySettings, ModelSettings, Settings
from tests.support.polling import until


def write_models(file: Path, *addresses: str) -> None:
    file.write_text(yaml.safe_dump([{"name": "m", "endpoints": [{"address": address} for address in addresses]}]))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(fleet_file, "_POLL_S", 0.01)
    write_models(tmp_path / "models.yaml", "10.0.0.1:8000")
    envoy = EnvoySettings(eds_file=str(tmp_path / "eds.json"))
    return Settings(envoy=envoy, models_file=str(tmp_path / "models.yaml"))


@contextlib.asynccontextmanager
async def following(settings: Settings, lines: list[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(follow_models(settings, lines.append))
    await asyncio.sleep(0)
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_models_in_the_configuration_itself_are_written(tmp_path: Path):
    model = ModelSettings(name="m", endpoints=(EndpointSettings(address="10.0.0.9:8000"),))
    eds = tmp_path / "eds.json"

    write_endpoints(Settings(envoy=EnvoySettings(eds_file=str(eds)), models=(model,)))

    assert "10.0.0.9" in eds.read_text()


def test_without_an_eds_file_nothing_is_written(tmp_path: Path):
    write_endpoints(Settings())

    assert [] == list(tmp_path.iterdir())


async def test_endpoints_follow_the_models_file(settings: Settings, tmp_path: Path):
    eds = tmp_path / "eds.json"
    write_endpoints(settings)
    assert "10.0.0.1" in eds.read_text()

    async with following(settings, []):
        write_models(tmp_path / "models.yaml", "10.0.0.1:8000", "10.0.0.22:8000")
        await until(lambda: "10.0.0.22" in eds.read_text())


async def test_a_file_that_another_replaced_is_noticed_whatever_its_time_and_size(settings: Settings, tmp_path: Path):
    models, eds = tmp_path / "models.yaml", tmp_path / "eds.json"
    write_endpoints(settings)

    async with following(settings, []):
        write_models(models, "10.0.0.3:8000")
        await until(lambda: "10.0.0.3" in eds.read_text())
        before = models.stat()
        fresh = tmp_path / "fresh.yaml"
        write_models(fresh, "10.0.0.2:8000")
        os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert before.st_size == fresh.stat().st_size
        fresh.replace(models)
        await until(lambda: "10.0.0.2" in eds.read_text())


async def test_endpoints_that_cannot_be_written_are_said_and_tried_again(settings: Settings, tmp_path: Path):
    lines: list[str] = []
    eds = tmp_path / "eds.json"
    eds.mkdir()

    async with following(settings, lines):
        await until(lambda: bool(lines))
        assert "cannot be written" in lines[0]

        eds.rmdir()
        await until(eds.is_file)


async def test_a_broken_models_file_keeps_the_endpoints_and_says_why(settings: Settings, tmp_path: Path):
    eds = tmp_path / "eds.json"
    write_endpoints(settings)
    lines: list[str] = []

    async with following(settings, lines):
        (tmp_path / "models.yaml").write_text("- name: m\n  endpoint: []\n")
        await until(lambda: bool(lines))
        assert "endpoint" in lines[0]
        assert "10.0.0.1" in eds.read_text()

        write_models(tmp_path / "models.yaml", "10.0.0.33:8000")
        await until(lambda: "10.0.0.33" in eds.read_text())
