"""Gateway workers as processes."""

import os
from pathlib import Path

import pytest

from forebay.local import workers as module
from forebay.local.supervision.supervisor import Supervisor
from forebay.local.workers import worker_specs
from gateway.config.loading import load
from gateway.config.settings import Settings
from gateway.worker.launch import METRICS_VARIABLE
from routing.table import STRATEGIES
from tests.support.ports import free_address
from tests.support.supervised import stand_in


def written_settings(folder: Path) -> tuple[Path, Settings]:
    file = folder / "c.yaml"
    file.write_text(f"listen: {{http: '{free_address()}'}}\ndrain_s: 1\n")
    return file, load(file, {}, STRATEGIES)


async def test_workers_are_ready_drained_and_share_a_metrics_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "worker_launch", stand_in)
    file, settings = written_settings(tmp_path)
    private = [free_address(), free_address()]
    specs = worker_specs(settings, file, private, tmp_path / "run", lambda name: tmp_path / f"{name}.log")
    supervisor = Supervisor([].append)

    await supervisor.start(*specs)
    await supervisor.stop()

    folder = str(tmp_path / "run" / "metrics")
    assert [folder] * 2 == [spec.env[METRICS_VARIABLE] for spec in specs]
    assert private == [spec.address for spec in specs]
    assert "drained" in "".join(spec.log_tail() for spec in specs)


def test_the_gauges_of_a_worker_that_exited_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "worker_launch", stand_in)
    file, settings = written_settings(tmp_path)
    [spec] = worker_specs(settings, file, [free_address()], tmp_path / "run", lambda _name: None)
    gauge = tmp_path / "run" / "metrics" / f"gauge_livesum_{os.getpid()}.db"
    counter = tmp_path / "run" / "metrics" / f"counter_{os.getpid()}.db"
    gauge.touch()
    counter.touch()

    spec.on_exit(os.getpid())

    assert [counter] == list((tmp_path / "run" / "metrics").iterdir())
