import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.errors import Problem
from runtime.models import Models
from tests.support.polling import until
from tests.support.sidecar import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


@pytest.fixture
async def models(shelf: Shelf, tmp_path: Path) -> AsyncIterator[Models]:
    made = Models(shelf, tmp_path / "models")
    yield made
    await made.close()


def statuses(models: Models, folder: Path | None = None) -> dict[str, str]:
    return {card["model_name"]: card["model_status"] for card in models.cards(str(folder) if folder else None)}


async def test_a_download_goes_on_by_itself_until_it_is_there(models: Models, shelf: Shelf, tmp_path: Path):
    shelf.is_open.clear()
    uri = shelf.put("one")

    begun, again = models.start(uri, None, None, {}), models.start(uri, None, None, {})
    listed = statuses(models)
    shelf.is_open.set()
    await until(lambda: statuses(models) == {"one": "downloaded"})

    expected = {"model_name": "one", "model_root_path": str(tmp_path / "models/one"), "source": "local"}
    assert {**expected, "model_status": "downloading"} == begun == again
    assert {"one": "downloading"} == listed
    assert {**expected, "model_status": "downloaded"} == models.start(uri, None, None, {})
    assert 1 == len(shelf.fetched)


async def test_a_download_that_failed_says_why_and_begins_again(models: Models, shelf: Shelf):
    models.start("shelf://one", None, None, {})
    await until(lambda: statuses(models) == {"one": "failed"})
    assert "shelf://one: there is no such artifact" == models.cards(None)[0]["message"]

    models.start(shelf.put("one"), None, None, {})

    await until(lambda: statuses(models) == {"one": "downloaded"})


async def test_two_sources_for_one_place_are_a_conflict(models: Models, shelf: Shelf):
    shelf.is_open.clear()
    models.start(shelf.put("one"), "m", None, {})

    with pytest.raises(Problem, match="is being downloaded from shelf://one") as caught:
        models.start(shelf.put("two"), "m", None, {})

    assert 409 == caught.value.status


async def test_what_lay_there_before_is_listed_too(models: Models, tmp_path: Path):
    for name in ("whole", "half.part"):
        (tmp_path / "models" / name).mkdir(parents=True)

    assert {"whole": "downloaded", "half.part": "no_operation"} == statuses(models)
    assert {} == statuses(models, tmp_path / "elsewhere")


async def test_name_folder_and_options_may_be_said(models: Models, shelf: Shelf, tmp_path: Path):
    models.start(shelf.put("one"), "other", str(tmp_path / "there"), {"k": "v"})

    await until(lambda: statuses(models, tmp_path / "there") == {"other": "downloaded"})
    assert [("shelf://one", {"k": "v"})] == shelf.fetched
    assert {} == statuses(models)


@pytest.mark.parametrize(
    ("uri", "source"),
    [("hf://org/m", "huggingface"), ("gs://b/m", "gcs"), ("S3://b/m", "s3"), ("https://h/m", "http"), ("/m", "local")],
)
async def test_a_card_names_its_source(models: Models, uri: str, source: str):
    assert (source, "m") == (models.start(uri, None, None, {})["source"], models.cards(None)[0]["model_name"])


@pytest.mark.parametrize(("name", "folder"), [("../m", None), ("a/b", None), (None, "relative")])
async def test_a_place_that_is_none_is_refused(models: Models, name: str | None, folder: str | None):
    with pytest.raises(Problem) as caught:
        models.start("shelf://..", name, folder, {})

    assert 400 == caught.value.status


async def test_the_end_ends_downloads(models: Models, shelf: Shelf):
    shelf.is_open.clear()
    models.start(shelf.put("one"), None, None, {})
    await asyncio.sleep(0)

    await models.close()

    assert {"one": "failed"} == statuses(models)
