from pathlib import Path

from simulator.replay.plots import PLOTS, draw
from tests.simulator.replay.test_report import a_comparison, a_summary

PNG = b"\x89PNG\r\n\x1a\n"


def test_every_plot_is_drawn(tmp_path: Path):
    names = draw(a_comparison(a_summary("a"), a_summary("b", ttfts_s=[])), tmp_path)

    assert list(PLOTS) == names
    assert {PNG} == {(tmp_path / name).read_bytes()[:8] for name in names}


def test_a_comparison_without_requests_is_drawn(tmp_path: Path):
    empty = a_summary(requests=0, served=0, good=0, ttfts_s=[], load={"p": 0.0})

    assert len(PLOTS) == len(draw(a_comparison(empty), tmp_path))
