"""The closed loop in virtual time: replicas follow the traffic, at whose cost, and inside which SLO."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forebay.cli.main import main
from forebay.local.mix.gpu_types import parse_mix
from forebay.simulation import mix
from forebay.simulation.mix_report import MixComparison, MixRun, rows
from optimizer.input.reading import InputError
from simulator.replay import shapes
from simulator.replay.summary import Slo
from simulator.replay.traces import TraceRequest

TYPES = "L20:1.0:0,V100:0.4:1"
START_UP_S = 30.0


def replayed(trace: list[TraceRequest], types: str = TYPES, *strategies: str) -> MixComparison:
    options = mix.MixOptions(parse_mix(types), [], [], strategies or ("slo",), Slo(2.0, 0.1), START_UP_S, 0, None)
    return mix.compare(options, "made up", trace)


def replicas(run: MixRun, at_s: float) -> dict[str, int]:
    return dict(next(moment.replicas for moment in run.moments if moment.at_s >= at_s))


@pytest.fixture(scope="module")
def chat_then_long_then_nothing() -> MixComparison:
    """Three minutes of chat, and from then on a minute and a half with long prompts too."""
    chat = shapes.generate("chat", rate=3.0, duration_s=270.0)
    long = [request for request in shapes.generate("long", rate=6.0, duration_s=90.0) if request.input_length > 2048]
    later = [request._replace(timestamp=request.timestamp + 180_000) for request in long]
    return replayed(sorted([*chat, *later], key=lambda request: request.timestamp))


def test_replicas_follow_the_traffic_and_go_to_the_least_when_it_stops(chat_then_long_then_nothing: MixComparison):
    run = chat_then_long_then_nothing.runs[0]

    assert replicas(run, 170)["v100"] >= 1
    assert replicas(run, 260)["l20"] > replicas(run, 170)["l20"]
    assert {"l20": 0, "v100": 1} == run.moments[-1].replicas


def test_long_prompts_are_served_by_the_type_that_keeps_the_slo(chat_then_long_then_nothing: MixComparison):
    run = chat_then_long_then_nothing.runs[0]

    assert run.long["l20"] > 0.6  # those that came while it was starting had to go elsewhere


def test_the_mix_keeps_the_slo_at_less_than_the_best_type_alone(chat_then_long_then_nothing: MixComparison):
    comparison = chat_then_long_then_nothing
    best = comparison.best_alone

    assert best is not None
    assert "L20 only" == best.summary.strategy
    assert comparison.runs[2].unserved > 0.01  # V100s alone are no way to serve long prompts
    assert comparison.runs[0].cost < best.cost
    assert comparison.runs[0].attainment > 0.9


def test_load_that_returns_is_planned_for_within_a_period():
    chat = shapes.generate("chat", rate=4.0, duration_s=60.0)
    gap_ms = 1000 * (mix.IDLE_S + 120.0)
    again = [request._replace(timestamp=request.timestamp + 60_000 + gap_ms) for request in chat]
    run = replayed([*chat, *again]).runs[0]
    back_s = (60_000 + gap_ms) / 1000
    before, after = replicas(run, back_s - 10), replicas(run, back_s + mix.DECIDE_S)

    assert {"l20": 0, "v100": 1} == before
    assert sum(after.values()) > 1


def test_one_type_has_nothing_to_be_compared_with():
    comparison = replayed(shapes.generate("chat", rate=1.0, duration_s=30.0), "V100:0.6:1")

    assert [1, None] == [len(comparison.runs), comparison.best_alone]
    assert "-" == rows(comparison)[1][2]


def test_a_type_without_a_profile_cannot_be_planned():
    with pytest.raises(InputError, match="published-fit: is neither a file nor a bundled profile"):
        replayed(shapes.generate("chat", rate=1.0, duration_s=30.0), "V100,published-fit")


# The command.


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "mine.csv"
    rows = [f"{at},alice,200,50" for at in range(60)]
    file.write_text("\n".join(["arrival_s,client_id,input_tokens,output_tokens", *rows]))
    return file


def test_a_trace_of_ones_own_has_a_table_and_a_page_with_a_picture(trace: Path, tmp_path: Path):
    result = simulate("--mix", TYPES, "--trace", trace, "--report", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()

    assert 0 == result.exit_code, result.output
    assert "mine.csv: 60 requests" in result.output
    for name in ("mix, slo", "L20 only", "V100 only"):
        assert name in result.output
        assert name in page
    assert '<img src="mix-0.png"' in page
    assert (tmp_path / "report" / "mix-0.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--mix", TYPES], "--mix needs --trace or --shape"),
        (["--mix", TYPES, "--shape", "x"], "shape = 'x', must be one of: chat, long, waves"),
        (["--mix", "X9", "--shape", "chat"], "gpu = 'X9'"),
        ([], "needs --trace, or --mix with --shape"),
    ],
)
def test_options_that_make_no_replay_are_refused_with_the_reason(arguments: list[str], why: str):
    result = simulate(*arguments)

    assert 0 != result.exit_code
    assert why in result.output
