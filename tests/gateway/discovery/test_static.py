"""The fleet from configuration, and from a file that changes in all the ways files do."""

import asyncio
import os
from collections.abc import AsyncIterator
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


def remove(path: Path) -> None:
    path.unlink()


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


async def test_a_file_that_vanishes_keeps_the_old_set_until_it_returns(path: Path) -> None:
    watched = Watched(path)
    await watched.models()
    asked = asyncio.ensure_future(watched.models())

    remove(path)
    assert not await watched.is_used()
    assert not asked.done()

    replace_file(path, written("back"))
    assert await asked == ["back"]


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
