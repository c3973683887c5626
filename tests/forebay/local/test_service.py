"""`forebay gateway` as a process, with stand-in workers."""

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from forebay.local import extras, service
from forebay.local.supervision.probes import accepts, answers_ok
from gateway.config import loading
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.programs import program


def write_config(folder: Path, **more: object) -> tuple[Path, dict[str, object]]:
    listen = {"http": free_address(), "grpc": free_address(), "admin": free_address()}
    file = folder / "forebay.yaml"
    file.write_text(yaml.safe_dump({"listen": listen, "drain_s": 2, **more}))
    return file, listen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_at_the_configured_addresses_until_a_signal(tmp_path: Path, number: signal.Signals):
    file, listen = write_config(tmp_path)
    async with program("tests.support.supervised", "gateway", str(file), "2") as service:
        assert str(listen["http"]) in await service.prints("ready")
        assert await answers_ok(str(listen["http"]), "/healthz")

        assert 0 == await service.end(number)

    assert "drained" in service.lines
    assert not await accepts(str(listen["http"]))


async def test_what_is_wrong_with_the_models_is_said_at_once_and_not_by_each_worker(tmp_path: Path):
    (tmp_path / "models.yaml").write_text("[{nam: m}]")
    file, _ = write_config(tmp_path, models_file="models.yaml")
    async with program("forebay", "gateway", "--config", str(file)) as service:
        await service.prints("models.yaml: models[0].name is missing")
        assert 2 == await service.process.wait()
        await service.end()

    assert 2 == len(service.lines)


async def test_a_missing_kubeconfig_is_said_at_once_and_not_by_each_worker(tmp_path: Path):
    file, _ = write_config(tmp_path, kubernetes={"enabled": True, "kubeconfig": "absent"})
    async with program("forebay", "gateway", "--config", str(file)) as service:
        await service.prints("absent not found")
        assert 1 == await service.process.wait()
        await service.end()

    assert 1 == len(service.lines)


def test_the_configuration_is_read_once_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, _ = write_config(tmp_path)
    read, reads = loading._settings_in, []

    def counted(*arguments: Any) -> Any:
        reads.append(arguments)
        return read(*arguments)

    def stop() -> None:
        raise InterruptedError

    monkeypatch.setattr(loading, "_settings_in", counted)
    monkeypatch.setattr(service, "raise_open_file_limit", stop)
    with pytest.raises(InterruptedError):
        service.run(file, 1)
    assert 1 == len(reads)


async def test_a_worker_that_does_not_start_fails_the_command(tmp_path: Path):
    file, _ = write_config(tmp_path)
    async with program("tests.support.supervised", "gateway-with-broken-workers", str(file), "1") as service:
        await service.prints("forebay gateway could not start: gateway-1 ended with status 1")
        assert 1 == await service.process.wait()


async def test_endpoints_are_written_for_envoy(tmp_path: Path):
    eds = tmp_path / "eds.json"
    model = {"name": "m", "endpoints": [{"address": "10.0.0.1:8000"}]}
    file, _ = write_config(tmp_path, envoy={"eds_file": str(eds)}, models=[model])
    async with program("tests.support.supervised", "gateway", str(file), "1") as service:
        await service.prints("ready")
        await until(lambda: "10.0.0.1" in eds.read_text())


def test_pods_of_a_cluster_need_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, _ = write_config(tmp_path, kubernetes={"enabled": True})
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)

    with pytest.raises(extras.MissingExtraError, match="needs the extra kubernetes"):
        service.run(file, 1)
