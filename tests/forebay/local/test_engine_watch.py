"""The models file that follows engines named by URL."""

from pathlib import Path

import pytest
import yaml

from forebay.local import engine_watch
from forebay.local.engine_url import Engine, EngineUrl
from forebay.local.engine_watch import EngineWatch, listed_models
from gateway.config.loading import load_models
from routing.table import STRATEGIES
from simulator.serving.server import running_engine
from tests.support.engines import a_profile
from tests.support.polling import until
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_watch, "POLL_S", 0.05)


async def test_an_engine_is_taken_in_when_it_comes_and_stays_when_it_goes(tmp_path: Path):
    file, lines, port = tmp_path / "models.yaml", [], free_port()
    watch = EngineWatch([EngineUrl("localhost", port)], file, lines.append)
    async with watch.running():
        assert "[]\n" == file.read_text()
        assert not watch.any_model.is_set()
        assert "is not there yet and is taken in when it comes" in lines[-1]

        async with running_engine(a_profile(model="m"), port=port):
            await watch.any_model.wait()
            [endpoint] = load_models(file, {}, STRATEGIES)[0].endpoints
            assert (f"127.0.0.1:{port}", f"localhost:{port}", "vllm") == (
                endpoint.address,
                endpoint.name,
                endpoint.engine,
            )
            assert f"vllm at 127.0.0.1:{port}, serves m" in lines[-1]

        await until(lambda: "no longer says what it serves" in lines[-1])
        assert ["m"] == [model.name for model in load_models(file, {}, STRATEGIES)]

        async with running_engine(a_profile(model="another", adapters=("a",)), port=port):
            await until(lambda: "serves another, adapters a" in lines[-1])
            await until(lambda: "another" in file.read_text())  # it is told before the file is written
            [model] = load_models(file, {}, STRATEGIES)
            assert ("another", ("a",)) == (model.name, model.endpoints[0].adapters)


async def test_a_file_that_cannot_be_written_is_told_and_written_later(tmp_path: Path):
    file, lines = tmp_path / "missing" / "models.yaml", []
    async with EngineWatch([EngineUrl("127.0.0.1", free_port())], file, lines.append).running():
        assert "cannot be written" in lines[-1]
        file.parent.mkdir()
        await until(file.exists)


async def test_an_unexpected_failure_is_told_and_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines: list[str] = []
    answers = iter([None, ZeroDivisionError("a defect")])

    async def ask(_url: EngineUrl, _known: Engine | None) -> Engine:
        if error := next(answers, None):
            raise error
        return Engine("127.0.0.1:1", "vllm", {"m": ()})

    monkeypatch.setattr(engine_watch, "ask_engine", ask)
    file = tmp_path / "models.yaml"
    async with EngineWatch([EngineUrl("a", 1)], file, lines.append).running():
        await until(lambda: "ZeroDivisionError: a defect" in lines[-1])
        file.unlink()  # a later round finds that and writes it again
        await until(file.exists)


def test_every_model_lists_the_engines_that_serve_it_and_no_address_is_listed_twice(tmp_path: Path):
    models = listed_models(
        {
            EngineUrl("a", 1): Engine("10.0.0.1:1", "vllm", {"m": ("l",), "n": ()}),
            EngineUrl("also-a", 1): Engine("10.0.0.1:1", "vllm", {"m": ("l",), "n": ()}),
            EngineUrl("b", 2): Engine("10.0.0.2:2", "sglang", {"m": ()}),
            EngineUrl("c", 3): Engine("10.0.0.3:3", "other", {}),
        },
        "own",
    )
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(models))

    assert {"own"} == {endpoint["pool"] for model in models for endpoint in model["endpoints"]}
    assert {"m": ["a:1", "b:2"], "n": ["a:1"]} == {
        model.name: [endpoint.name for endpoint in model.endpoints]
        for model in load_models(tmp_path / "models.yaml", {}, STRATEGIES)
    }
