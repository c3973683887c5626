from pathlib import Path

from forebay.simulation.mix_plots import draw
from forebay.simulation.mix_report import MixComparison, MixRun, Moment
from simulator.replay.summary import Slo, Summary


def test_a_picture_has_a_row_for_the_traffic_and_one_for_each_replay(tmp_path: Path):
    summary = Summary("mix", 1.0, 1, 1, 1.0, {}, 1, [0.1], None, None, 0.0, {}, 0, None)
    moments = [Moment(10.0 * at, float(at), {"l20": at, "v100": 1}) for at in range(5)]
    run = MixRun(summary, ["l20", "v100"], 1.0, {"l20": 1.0, "v100": 1.0}, 0.0, 3, {}, moments)
    for count in (1, 2):
        draw(MixComparison("chat", Slo(), 1, [run] * count), tmp_path / f"{count}.png")
    one, two = ((tmp_path / f"{count}.png").read_bytes() for count in (1, 2))

    assert one.startswith(b"\x89PNG")
    height = slice(20, 24)  # of the image, in its header
    assert int.from_bytes(two[height]) == int.from_bytes(one[height]) * 3 / 2
