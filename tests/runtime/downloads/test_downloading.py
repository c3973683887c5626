"""An artifact from its source to its place: whole or not at all, once, and again where that is wanted."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.folders import Status
from tests.support.stores.bringing import PART, content, downloads, fetch, held, visible
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.hub import add_model
from tests.support.waiting import until

FILES = {"config.json": b"{}", "a/model.safetensors": content(1, 5 * PART + 7), "README.md": b"words"}


@pytest.fixture
def hub() -> Iterator[Site]:
    with file_server(Site()) as served:
        add_model(served, "org/m", FILES)
        yield served


def fetch_model(hub: Site, folder: Path, uri: str = "hf://org/m", **options: object) -> Path:
    return fetch(uri, folder, "m", {"HF_ENDPOINT": hub.url}, **options)


def test_a_folder_is_installed_whole_under_its_name(hub: Site, tmp_path: Path):
    assert tmp_path / "m" == fetch_model(hub, tmp_path)
    assert held(tmp_path / "m") == FILES
    assert ["m"] == visible(tmp_path)
    [artifact] = downloads().found(tmp_path)
    assert ("m", "hf://org/m", True) == (artifact.name, artifact.source, artifact.is_complete)


def test_what_is_there_is_not_fetched_again_and_its_source_is_not_asked(hub: Site, tmp_path: Path):
    fetch_model(hub, tmp_path)
    asked = len(hub.seen)

    fetch_model(hub, tmp_path)

    assert asked == len(hub.seen)


@pytest.mark.parametrize("option", [{"force_download": True}, {"check_file_exist": False}])
def test_it_is_fetched_again_where_that_is_wanted(option: dict[str, bool], hub: Site, tmp_path: Path):
    fetch_model(hub, tmp_path)
    (tmp_path / "m" / "extra").write_bytes(b"x")

    fetch_model(hub, tmp_path, **option)

    assert held(tmp_path / "m") == FILES
    assert 2 * sum(map(len, FILES.values())) == hub.total


def test_what_was_damaged_since_is_fetched_again(hub: Site, tmp_path: Path):
    fetch_model(hub, tmp_path)
    (tmp_path / "m" / "config.json").unlink()

    fetch_model(hub, tmp_path)

    assert held(tmp_path / "m") == FILES


def test_another_source_takes_its_place(hub: Site, tmp_path: Path):
    add_model(hub, "org/other", {"config.json": b"[]"})
    fetch_model(hub, tmp_path)

    fetch_model(hub, tmp_path, "hf://org/other")

    assert {"config.json": b"[]"} == held(tmp_path / "m")


def test_only_files_with_a_suffix_are_fetched(hub: Site, tmp_path: Path):
    fetch_model(hub, tmp_path, allow_file_suffix="json, safetensors")

    assert {"config.json", "a/model.safetensors"} == held(tmp_path / "m").keys()
    fetch_model(hub, tmp_path)
    assert held(tmp_path / "m") == FILES
    with pytest.raises(DownloadError, match=r"none of 3 files ends with \.gguf"):
        fetch_model(hub, tmp_path / "other", allow_file_suffix=".gguf")


@pytest.mark.parametrize("name", ["../escaped", "/etc/escaped", "a/../../../escaped", "a\\b"])
def test_a_name_that_leads_out_of_the_folder_leaves_nothing(name: str, hub: Site, tmp_path: Path):
    add_model(hub, "org/bad", {"config.json": b"{}", name: b"x"})

    with pytest.raises(DownloadError, match="the source names a file"):
        fetch_model(hub, tmp_path / "models", "hf://org/bad")
    assert [] == visible(tmp_path / "models")
    assert ["models"] == visible(tmp_path)
    assert [] == [path for path in tmp_path.rglob("*") if "escaped" in path.name]


def test_the_same_that_somebody_put_there_is_taken_as_it_is(hub: Site, tmp_path: Path):
    for name, data in FILES.items():
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_bytes(data)

    fetch_model(hub, tmp_path)

    assert 0 == hub.total
    assert ["hf://org/m"] == [artifact.source for artifact in downloads().found(tmp_path)]


def test_something_else_that_somebody_put_there_is_left_alone(hub: Site, tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(b"[]")

    with pytest.raises(DownloadError, match="something else is there") as caught:
        fetch_model(hub, tmp_path)
    assert 400 == caught.value.status
    assert {"config.json": b"[]"} == held(tmp_path / "m")
    fetch_model(hub, tmp_path, force_download=1)
    assert held(tmp_path / "m") == FILES


def test_a_local_path_is_not_copied(tmp_path: Path):
    (tmp_path / "here").mkdir()

    assert tmp_path / "here" == fetch(str(tmp_path / "here"), tmp_path / "models")
    assert tmp_path / "here" == fetch(f"file://{tmp_path}/here", tmp_path / "models")
    assert ["here"] == visible(tmp_path)


@pytest.mark.parametrize("name", ["../m", "a/b", ""])
def test_the_name_of_an_artifact_is_one_component(name: str, hub: Site, tmp_path: Path):
    with pytest.raises(DownloadError, match="name = "):
        fetch("hf://org/m", tmp_path, name, {"HF_ENDPOINT": hub.url})


def test_two_at_once_fetch_it_once(hub: Site, tmp_path: Path):
    async def both() -> list[Path]:
        pair = [downloads({"HF_ENDPOINT": hub.url}) for _ in range(2)]
        return list(await asyncio.gather(*(each.fetch("hf://org/m", "m", tmp_path, {}) for each in pair)))

    assert [tmp_path / "m"] * 2 == asyncio.run(both())
    assert sum(map(len, FILES.values())) == hub.total


async def test_a_cancelled_call_ends_and_the_next_goes_on(hub: Site, tmp_path: Path):
    hub.hold_after = 2 * PART
    each = downloads({"HF_ENDPOINT": hub.url})
    task = asyncio.create_task(each.fetch("hf://org/m", "m", tmp_path, {"num_threads": 1}))
    await asyncio.to_thread(until, lambda: hub.total >= 2 * PART)
    assert Status.DOWNLOADING == each.status("m", tmp_path)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hub.released.set()
    await asyncio.to_thread(until, lambda: each.status("m", tmp_path) == Status.NO_OPERATION)
    assert [] == visible(tmp_path)
    await each.fetch("hf://org/m", "m", tmp_path, {})

    assert held(tmp_path / "m") == FILES
    assert hub.total < 2 * sum(map(len, FILES.values()))


def test_progress_is_told_from_nothing_to_all(hub: Site, tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    lock = threading.Lock()

    def on_progress(done: int, total: int | None) -> None:
        assert lock.acquire(blocking=False)  # one at a time
        told.append((done, total))
        lock.release()

    each = downloads({"HF_ENDPOINT": hub.url}, on_progress=on_progress)
    asyncio.run(each.fetch("hf://org/m", "m", tmp_path, {}))

    size = sum(map(len, FILES.values()))
    assert ((0, size), (size, size)) == (told[0], told[-1])
    assert told == sorted(told)


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(hub: Site, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DownloadError, match="Not a directory"):
        fetch_model(hub, tmp_path / "file")


@pytest.mark.parametrize("page", [[], "words", {"id": 1, "siblings": [{}]}, {"siblings": 7}])
def test_a_source_that_answers_something_else_is_told(page: object, hub: Site, tmp_path: Path):
    hub.pages["/api/models/org/m/revision/main"] = page

    with pytest.raises(DownloadError, match=r"^hf://org/m: (the source does not answer as|there is no such)"):
        fetch_model(hub, tmp_path)


def test_an_endpoint_that_is_no_address_is_told(tmp_path: Path):
    with pytest.raises(DownloadError, match="HF_ENDPOINT must begin with"):
        fetch("hf://org/m", tmp_path, "m", {"HF_ENDPOINT": "hf-mirror.com"})


def test_a_setting_that_cannot_be_used_is_said(hub: Site, tmp_path: Path):
    with pytest.raises(DownloadError, match="DOWNLOADER_NUM_THREADS = many"):
        fetch_model(hub, tmp_path, num_threads="many")
