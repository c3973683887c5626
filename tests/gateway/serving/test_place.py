"""What a worker reads from its environment."""

from pathlib import Path

import pytest

from gateway.serving.place import worker_from
from gateway.serving.variables import ADDRESS_VARIABLE, CONFIG_VARIABLE, INDEX_VARIABLE


def test_a_worker_is_built_from_its_place(tmp_path: Path):
    file = tmp_path / "f.yaml"
    file.write_text("log_level: warning\n")
    worker = worker_from({CONFIG_VARIABLE: str(file), INDEX_VARIABLE: "3", ADDRESS_VARIABLE: "127.0.0.1:9"})
    assert (3, "127.0.0.1:9", None) == (worker.place.index, worker.place.address, worker.place.metrics_dir)
    assert "warning" == worker.settings.log_level


def test_a_worker_without_a_place_does_not_start():
    with pytest.raises(KeyError):
        worker_from({})
