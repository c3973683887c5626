"""The picture: a PNG file, also where some lengths cannot be served or all are alike."""

from pathlib import Path

import pytest

from optimizer.profiling.picture import draw

PAGE = {"gpu": "m", "cost": 1.0, "slos": {"percentile": 0, "ttft": 2.0}, "indexes": [[16, 64], [128, 512, 2048]]}


@pytest.mark.parametrize("grid", [[[40.0, 20.0, 5.0], [20.0, 10.0, 0.0]], [[1.0] * 3] * 2, [[0.0] * 3] * 2])
def test_a_picture_is_drawn(tmp_path: Path, grid: list[list[float]]):
    draw(PAGE | {"tputs": grid}, tmp_path / "a.png")

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").stat().st_size > 10_000
