import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.adapters import Adapters, Wanted, is_local, local_path
from runtime.engines.calls import Calls, engine_client
from runtime.engines.vllm import Vllm
from runtime.errors import Problem
from tests.support.engines import an_engine
from tests.support.sidecar import PAUSES_S, Shelf


@pytest.fixture
async def engine() -> AsyncIterator[Vllm]:
    async with an_engine() as (running, _), engine_client(running.url) as client:
        yield Vllm(Calls(client, pauses_s=PAUSES_S))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def adapters(shelf: Shelf) -> Adapters:
    return Adapters(shelf)


def wanted(tmp_path: Path, source: str, name: str = "ad", **options: Any) -> Wanted:
    return Wanted(name, source, is_local(source), tmp_path / "adapters", options)


async def roots(engine: Vllm) -> dict[str, str]:
    return {name: card["root"] for name, card in (await engine.cards()).items()}


async def test_a_path_is_passed_on_without_a_copy(engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path):
    loaded = await adapters.load(engine, wanted(tmp_path, "/models/ad"))

    assert ("/models/ad", "Success: LoRA adapter 'ad' added successfully.") == (loaded.path, loaded.said)
    assert {"tiny": "tiny", "ad": "/models/ad"} == await roots(engine)
    assert ([], False) == (shelf.fetched, (tmp_path / "adapters").exists())


async def test_an_artifact_is_downloaded_first_with_its_options(
    engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path
):
    uri = shelf.put("one")

    loaded = await adapters.load(engine, wanted(tmp_path, uri, token="t"))

    assert (Path(loaded.path) / "adapter_config.json").is_file()
    assert Path(loaded.path).is_relative_to(tmp_path / "adapters" / "ad")
    assert [(uri, {"token": "t"})] == shelf.fetched
    assert loaded.path == (await roots(engine))["ad"]


async def test_a_load_that_is_repeated_changes_nothing(engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path):
    one = wanted(tmp_path, shelf.put("one"))

    first, again = await adapters.load(engine, one), await Adapters(shelf).load(engine, one)

    assert first.path == again.path
    assert ("LoRA adapter 'ad' is loaded already.", 1) == (again.said, len(shelf.fetched))


async def test_two_loads_of_one_name_at_a_time_are_one(engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path):
    one = wanted(tmp_path, shelf.put("one"))

    both = await asyncio.gather(adapters.load(engine, one), adapters.load(engine, one))

    assert (both[0].path, 1) == (both[1].path, len(shelf.fetched))


TAKEN = {
    "ad": "the adapter ad is loaded from /models/ad, another source; unload it first",
    "tiny": "lora_name = tiny, is the name of a model that the engine serves",
}


@pytest.mark.parametrize("name", TAKEN)
async def test_a_name_that_is_taken_is_a_conflict(
    engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path, name: str
):
    await adapters.load(engine, wanted(tmp_path, "/models/ad"))

    with pytest.raises(Problem) as caught:
        await adapters.load(engine, wanted(tmp_path, shelf.put("other"), name))

    assert (409, TAKEN[name], []) == (caught.value.status, caught.value.message, shelf.fetched)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "-x", "a" * 129, "ä", "a\n", "a b"])
async def test_a_name_that_is_none_reaches_nobody(engine: Vllm, adapters: Adapters, tmp_path: Path, name: str):
    for call in (
        adapters.load(engine, wanted(tmp_path, "/models/ad", name)),
        adapters.unload(engine, name, tmp_path, cleanup=True),
    ):
        with pytest.raises(Problem, match="must be 1 to 128 of") as caught:
            await call
        assert (400, "lora_name") == (caught.value.status, caught.value.param)
    assert ["tiny"] == list(await engine.cards())


async def test_a_download_that_fails_is_told_and_loads_nothing(engine: Vllm, adapters: Adapters, tmp_path: Path):
    with pytest.raises(Problem, match="there is no such artifact") as caught:
        await adapters.load(engine, wanted(tmp_path, "shelf://nothing"))

    assert (404, ["tiny"]) == (caught.value.status, list(await engine.cards()))


async def test_an_unload_removes_what_was_downloaded_for_it_alone(
    engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path
):
    own = tmp_path / "own"
    own.mkdir()
    for name, source in (("ad", shelf.put("one")), ("ad2", shelf.put("two")), ("mine", str(own))):
        await adapters.load(engine, wanted(tmp_path, source, name))
    folder = tmp_path / "adapters"

    said = [await adapters.unload(engine, name, folder, cleanup=True) for name in ("ad", "ad", "mine")]

    assert ["Success: LoRA adapter 'ad' removed successfully.", "The lora adapter 'ad' cannot be found."] == said[:2]
    assert (["tiny", "ad2"], ["ad2"]) == (list(await engine.cards()), [path.name for path in folder.iterdir()])
    assert own.is_dir()


async def test_without_cleanup_the_files_stay(engine: Vllm, adapters: Adapters, shelf: Shelf, tmp_path: Path):
    loaded = await adapters.load(engine, wanted(tmp_path, shelf.put("one")))

    await adapters.unload(engine, "ad", tmp_path / "adapters", cleanup=False)

    assert [Path(loaded.path).name] == [path.name for path in (tmp_path / "adapters" / "ad").iterdir()]


@pytest.mark.parametrize(
    ("source", "path"),
    [("/models/a", "/models/a"), ("file:///models/a%20b", "/models/a b"), ("s3://bucket/a", None), ("hf://a/b", None)],
)
def test_which_sources_are_paths(source: str, path: str | None):
    assert (path is not None) is is_local(source)
    if path:
        assert path == local_path(Wanted("ad", source, True, Path("/adapters")))
