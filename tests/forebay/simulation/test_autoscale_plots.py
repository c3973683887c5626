from dataclasses import replace
from pathlib import Path

from forebay.local.mix.gpu_types import GpuType
from forebay.simulation.autoscale_plots import PHASES, draw
from forebay.simulation.elastic_fleet import Replica
from simulator.core.sequence import Sequence
from simulator.replay.replay import Call
from simulator.replay.traces import TraceRequest
from tests.forebay.simulation.test_autoscale_report import RUN, a_comparison
from tests.support.pods import an_endpoint

REPLICA = Replica(GpuType("engine"), an_endpoint("pod"), 10.0, served_s=40.0, unwanted_s=70.0, ended_s=75.0)


def test_a_picture_has_a_row_for_each_replay(tmp_path: Path):
    run = replace(RUN, replicas=[REPLICA], calls=[Call(TraceRequest(0, 8, 2), 5.0, 5.0, Sequence(8, 2))])
    for count in (1, 2):
        draw(a_comparison(*[run] * count), tmp_path / f"{count}.png")
    one, two = ((tmp_path / f"{count}.png").read_bytes() for count in (1, 2))

    assert one.startswith(b"\x89PNG")
    height = slice(20, 24)  # of the image, in its header
    assert int.from_bytes(two[height]) > 1.6 * int.from_bytes(one[height])


def test_a_replica_starts_serves_and_drains():
    phases = {name: interval(REPLICA) for name, _, interval in PHASES}

    assert {"serving": (40.0, 70.0), "starting": (10.0, 40.0), "draining": (70.0, 75.0)} == phases


def test_a_replica_that_is_let_go_of_while_it_starts_never_serves():
    gone = Replica(GpuType("engine"), an_endpoint("pod"), 10.0, unwanted_s=20.0, ended_s=20.0)
    begun, ended = PHASES[0][2](gone)

    assert begun >= ended
    assert (10.0, 20.0) == PHASES[1][2](gone)
