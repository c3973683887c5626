"""The fleet from configuration, and from a file that changes in all the ways files do."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from gateway.config.loading import ConfigurationError, load_models
from gateway.config.settings import ModelSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.discovery.static import ModelsFile, Reload, StaticModels, log_reload
from routing.table import STRATEGIES

PATIENCE_S = 20
POLL_S = 0.005


def load(path: Path) -> tuple[ModelSettings, ...]:
    return load_models(path, {}, STRATEGIES)


def written(*names: str) -> str:
    return yaml.safe_dump([{"name": name} for name in names])


def replace_file(path: Path, text: str) -> None:
    """As careful editors do: a new file that takes the name, never half-written."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def write_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def put_back(path: Path, text: str) -> None:
    if path.is_dir():
        path.rmdir()
    replace_file(path, text)


def write_with_the_old_mtime(path: Path, text: str) -> None:
    before = path.stat()
    write_in_place(path, text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert before.st_size == path.stat().st_size


def remove(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def lose_its_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: write_in_place(path, ""),
    "without a value": lambda path: write_in_place(path, "models:\n"),
    "half of it": lambda path: write_in_place(path, "- name: first\n- nam"),
    "zeros": lambda path: write_in_place(path, "\0" * 20),
    "no list": lambda path: write_in_place(path, "{}"),
    "removed": remove,
    "a folder": become_a_folder,
    "a broken link": lose_its_link,
}


class Watched:
    """A models file under watch, the next fleet asked for, and the reloads so far."""

    def __init__(self, path: Path) -> None:
        self.reloads: asyncio.Queue[Reload] = asyncio.Queue()
        self._fleets: AsyncIterator[FleetDescription] = ModelsFile(
            path, load, self.reloads.put_nowait, poll_s=POLL_S
        ).watch()

    async def models(self) -> list[str]:
        async with asyncio.timeout(PATIENCE_S):
            return list((await anext(self._fleets)).models)

    async def reload(self) -> Reload:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reloads.get()

    async def is_used(self) -> bool:
        """Whether the next reload gave a fleet."""
        return (await self.reload()).fleet is not None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(written("first"))
    return path


async def test_models_of_the_configuration_are_yielded_once() -> None:
    fleets = [fleet async for fleet in StaticModels((ModelSettings(name="m"),)).watch()]

    assert [list(fleet.models) for fleet in fleets] == [["m"]]


async def test_a_file_written_in_place_is_read_again(path: Path) -> None:
    watched = Watched(path)
    assert await watched.models() == ["first"]

    write_in_place(path, written("first", "second"))

    assert await watched.models() == ["first", "second"]


async def test_a_file_replaced_by_an_editor_is_read_again(path: Path) -> None:
    watched = Watched(path)
    await watched.models()

    replace_file(path, written("other"))

    assert await watched.models() == ["other"]
    assert await watched.is_used()


async def test_a_config_maps_symlink_swap_is_noticed_even_with_equal_time_and_size(tmp_path: Path) -> None:
    for version, name in (("v1", "aaaa"), ("v2", "bbbb")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "models.yaml").write_text(written(name))
        os.utime(tmp_path / version / "models.yaml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "models.yaml").symlink_to("..data/models.yaml")
    watched = Watched(tmp_path / "models.yaml")
    assert await watched.models() == ["aaaa"]

    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").replace(tmp_path / "..data")

    assert await watched.models() == ["bbbb"]


async def test_a_broken_file_keeps_the_old_set_and_says_why_once(path: Path) -> None:
    watched = Watched(path)
    await watched.models()
    asked = asyncio.ensure_future(watched.models())

    replace_file(path, "- name: ''\n")
    rejected = await watched.reload()
    await asyncio.sleep(20 * POLL_S)  # time for it to complain again, which it must not
    assert not asked.done()
    assert watched.reloads.empty()
    replace_file(path, written("mended"))
    assert await asked == ["mended"]

    assert (rejected.path, rejected.fleet) == (path, None)
    assert "name" in rejected.why
    assert await watched.is_used()


def test_a_reload_is_logged_with_what_was_read_or_why_it_was_not() -> None:
    fleet = FleetDescription({"m": ModelPolicy(), "n": ModelPolicy()}, ())

    with capture_logs() as logs:
        log_reload(Reload(Path("fleet.yaml"), fleet))
        log_reload(Reload(Path("fleet.yaml"), None, "no such file"))

    assert logs == [
        {"event": "models_file_loaded", "log_level": "info", "path": "fleet.yaml", "models": 2, "endpoints": 0},
        {
            "event": "models_file_rejected",
            "log_level": "error",
            "path": "fleet.yaml",
            "why": "no such file",
            "serving": "the last good set",
        },
    ]


async def test_a_file_that_contradicts_itself_is_broken_too(path: Path) -> None:
    watched = Watched(path)
    await watched.models()
    asked = asyncio.ensure_future(watched.models())

    replace_file(path, written("twice", "twice"))
    assert not await watched.is_used()

    replace_file(path, written("once"))
    assert await asked == ["once"]


@pytest.mark.parametrize("spoil", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_file_that_cannot_be_used_keeps_the_old_set_until_it_returns(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    watched = Watched(path)
    await watched.models()
    asked = asyncio.ensure_future(watched.models())

    spoil(path)
    assert not await watched.is_used()
    assert not asked.done()

    put_back(path, written("back"))
    assert await asked == ["back"]


async def test_a_file_that_says_that_there_are_no_models_empties_the_fleet(path: Path) -> None:
    watched = Watched(path)
    await watched.models()

    write_in_place(path, "models: []\n")

    assert await watched.models() == []


async def test_a_file_is_not_read_while_it_is_being_written(path: Path) -> None:
    watched = Watched(path)
    await watched.models()
    asked = asyncio.ensure_future(watched.models())
    names = [f"model-{number}" for number in range(40)]

    with path.open("w") as file:  # each line leaves a valid list of fewer models
        for name in names:
            file.write(f"- {{name: {name}}}\n")
            file.flush()
            await asyncio.sleep(POLL_S / 4)

    assert await asked == names
    assert watched.reloads.qsize() == 1


async def test_a_change_that_keeps_size_inode_and_mtime_is_noticed(path: Path) -> None:
    watched = Watched(path)
    await watched.models()

    write_with_the_old_mtime(path, written("other"))

    assert await watched.models() == ["other"]


async def test_a_file_that_could_not_be_read_is_read_again_when_it_can(path: Path) -> None:
    readable = False

    def load_if_readable(path: Path) -> tuple[ModelSettings, ...]:
        if readable or "first" in path.read_text():
            return load(path)
        raise ConfigurationError((f"{path}: cannot be read: Permission denied",))

    reloads: asyncio.Queue[Reload] = asyncio.Queue()
    fleets = ModelsFile(path, load_if_readable, reloads.put_nowait, poll_s=POLL_S).watch()
    await anext(fleets)
    asked = asyncio.ensure_future(anext(fleets))
    write_in_place(path, written("other"))
    assert (await asyncio.wait_for(reloads.get(), PATIENCE_S)).fleet is None

    readable = True
    os.chmod(path, 0o640)  # noqa: PTH101 - a method of Path would count as blocking

    assert list((await asyncio.wait_for(asked, PATIENCE_S)).models) == ["other"]


async def test_a_file_that_says_the_same_again_is_no_news(path: Path) -> None:
    watched = Watched(path)
    await watched.models()
    asked = asyncio.ensure_future(watched.models())

    replace_file(path, written("first") + "# a comment\n")
    assert await watched.is_used()
    replace_file(path, written("second"))

    assert await asked == ["second"]


@pytest.mark.parametrize("text", ["- {name: a}\n- {name: a}\n", None])
async def test_the_first_reading_must_succeed(path: Path, text: str | None) -> None:
    remove(path) if text is None else write_in_place(path, text)

    with pytest.raises(ConfigurationError):
        await Watched(path).models()
