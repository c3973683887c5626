"""The watched file of deployments, changed in the ways files do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from optimizer.input.reading import InputError
from optimizer.planning.deployments import Deployment
from optimizer.service.sources import DeploymentsFile
from tests.support.polling import until

POLL_S = 0.005
PATIENCE_S = 20


def written(*names: str) -> str:
    return "deployments:\n" + "".join(f"  - {{name: {name}, model: m}}\n" for name in names)


async def names(found: AsyncIterator[tuple[Deployment, ...]]) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return [each.name for each in await anext(found)]


def put(path: Path, text: str | None) -> None:
    """Write the file in place, or remove it."""
    path.unlink() if text is None else path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deployments.yaml"
    path.write_text(written("a"))
    return path


async def test_the_file_is_read_at_once_and_after_each_change(path: Path):
    source = DeploymentsFile(path, POLL_S)
    found = source.watch()

    assert ["a"] == await names(found)
    put(path, written("a", "b"))
    assert ["a", "b"] == await names(found)
    put(path, "deployments: []")
    assert [] == await names(found)
    assert "" == source.problem


@pytest.mark.parametrize("broken", ["", "deployments:\n  - {name: a, modl: m}\n", "deployments: [", None])
async def test_a_broken_file_keeps_the_last_good_one_and_says_so(path: Path, broken: str | None):
    source = DeploymentsFile(path, POLL_S)
    found = source.watch()
    assert ["a"] == await names(found)
    following = asyncio.create_task(names(found))

    with capture_logs() as logs:
        put(path, broken)
        await until(lambda: str(path) in source.problem)
        assert not following.done()
        put(path, written("c"))
        assert ["c"] == await following

    assert "" == source.problem
    assert ["deployments_rejected", "deployments_read"] == [line["event"] for line in logs]


async def test_a_file_that_is_missing_at_first_is_waited_for(path: Path):
    put(path, None)
    source = DeploymentsFile(path, POLL_S)
    following = asyncio.create_task(names(source.watch()))

    await until(lambda: "cannot be read: No such file" in source.problem)
    put(path, written("a"))

    assert ["a"] == await following


def test_reading_once_names_the_file_in_each_problem(path: Path):
    path.write_text("deployments: [{nme: x, model: m}]")

    with pytest.raises(InputError) as caught:
        DeploymentsFile(path).read()

    assert 2 == len(caught.value.problems)
    assert all(line.startswith(f"{path}: deployments[0].") for line in caught.value.problems)
