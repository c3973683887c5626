"""The commands that run processes pass their options on."""

from pathlib import Path
from typing import Any

from forebay.local.engines import Engines
from forebay.local.mix.gpu_types import GpuType, Mix
from optimizer.profiles.capacity import Slo
from tests.support.command import run


def test_up_passes_its_options_on(replaced, record, calls):
    replaced("forebay.local.up", run=record)

    defaults = run("up", "--no-console")
    chosen = run("up", "--engines", "5", "--workers", "2", "--gpu", "L20", "--strategy", "random", "--data", "there")

    assert (0, 0) == (defaults.exit_code, chosen.exit_code)
    assert [
        (
            {
                "engines": Engines(),
                "workers": 1,
                "gpu": "",
                "strategy": "",
                "data": Path(".forebay"),
                "base": None,
                "has_console": False,
            },
        ),
        (
            {
                "engines": Engines(5),
                "workers": 2,
                "gpu": "L20",
                "strategy": "random",
                "data": Path("there"),
                "base": None,
                "has_console": True,
            },
        ),
    ] == calls


def test_up_passes_a_mix_on_and_other_engines_exclude_it(replaced, record, calls):
    replaced("forebay.local.up", run=record)

    chosen = run("up", "--mix", "L20:2", "--slo", "ttft=1", "--startup-s", "7")
    both = run("up", "--mix", "L20", "--engines", "2")

    assert (0, 2) == (chosen.exit_code, both.exit_code)
    assert "--engines and --mix exclude each other" in both.output
    mix = Mix((GpuType("L20", 2.0, 0, 3),), Slo(ttft_s=1.0), 7.0)
    assert [Engines(mix=mix)] == [options["engines"] for (options,) in calls]


def test_up_refuses_a_gpu_that_there_is_not_before_anything_starts(replaced, record, calls, tmp_path):
    replaced("forebay.local.up", run=record)
    (tmp_path / "no-profile").write_text("a: 1")

    for gpu in ("nope", str(tmp_path / "no-profile")):
        result = run("up", "--gpu", gpu)

        assert (2, []) == (result.exit_code, calls)
        assert "Error: Invalid value for '--gpu': " in result.output
        assert gpu in result.output


def test_gateway_runs_the_service(replaced, record, calls):
    replaced("forebay.local.service", run=record)

    result = run("gateway", "--config", "f.yaml", "--workers", "4")

    assert (0, [(Path("f.yaml"), 4, {})]) == (result.exit_code, calls)


def test_engine_passes_its_options_on(replaced, record, calls):
    replaced("simulator.serving.server", serve=record)

    result = run("engine", "--model", "m", "--port", "0", "--tokens-per-s", "50", "--seed", "7", "--count", "2")

    assert 0 == result.exit_code
    named = {
        "count": 2, "name": "", "gpu": "", "tokens_per_s": 50.0, "max_running": None, "max_waiting": None,
        "max_model_len": None, "adapters": (), "metrics": "vllm", "kv_events": "", "seed": 7,
    }  # fmt: skip
    assert [("m", "127.0.0.1", 0, named)] == calls


def test_an_engine_that_cannot_start_says_why_in_one_line(replaced):
    def serve(*_: Any, **__: Any) -> None:
        raise OSError("address already in use")

    replaced("simulator.serving.server", serve=serve)

    result = run("engine", "--model", "m", "--port", "1")

    assert (1, "Error: address already in use\n") == (result.exit_code, result.output)
