"""Gateway workers as processes."""

import os
from pathlib import Path

import pytest

from forebay.local import workers as module
from forebay.local.supervision.supervisor import Supervisor
from forebay.local.workers import worker_count, worker_specs
from gateway.config.settings import ListenSettings, Settings
from gateway.worker.launch import METRICS_VARIABLE
from tests.support.ports import free_address
from tests.support.supervised import stand_in


def settings_with(workers: int) -> Settings:
    listen = ListenSettings(http=free_address(), workers=tuple(free_address() for _ in range(workers)))
    return Settings(listen=listen, drain_s=1)


def test_private_addresses_decide_how_many_workers_there_are():
    assert 3 == worker_count(settings_with(3), requested=1)
    assert 2 == worker_count(settings_with(0), requested=2)


async def test_workers_are_ready_drained_and_share_a_metrics_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "worker_launch", stand_in)
    settings = settings_with(2)
    specs = worker_specs(settings, tmp_path / "c.yaml", 2, tmp_path / "run", lambda name: tmp_path / f"{name}.log")
    supervisor = Supervisor([].append)

    await supervisor.start(*specs)
    await supervisor.stop()

    folder = str(tmp_path / "run" / "metrics")
    assert [folder] * 2 == [spec.env[METRICS_VARIABLE] for spec in specs]
    assert list(settings.listen.workers) == [spec.address for spec in specs]
    assert "drained" in "".join(spec.log_tail() for spec in specs)


def test_the_gauges_of_a_worker_that_exited_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "worker_launch", stand_in)
    [spec] = worker_specs(settings_with(1), tmp_path / "c.yaml", 1, tmp_path / "run", lambda _name: None)
    gauge = tmp_path / "run" / "metrics" / f"gauge_livesum_{os.getpid()}.db"
    counter = tmp_path / "run" / "metrics" / f"counter_{os.getpid()}.db"
    gauge.touch()
    counter.touch()

    spec.on_exit(os.getpid())

    assert [counter] == list((tmp_path / "run" / "metrics").iterdir())
