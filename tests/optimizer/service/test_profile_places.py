"""Profiles in a real Redis, in files, and bundled."""

from pathlib import Path

import pytest

from optimizer.planning.deployments import Deployment
from optimizer.service.profile_places import NO_TEXT, ProfilePlaces
from tests.support.optimizer import a_profile
from tests.support.redis import RedisServer
from traffic.connection import Connection

GRID = [[10.0, 2.0], [5.0, 1.0]]
BUNDLED = {"L20": a_profile("L20", 9.0, GRID).encode()}


def a_deployment(name: str, model: str = "m", **more: object) -> Deployment:
    return Deployment("default", name, model, 0, 0, **more)  # type: ignore[arg-type]  # by name


async def test_keys_are_exact(server: RedisServer, connection: Connection):
    places = ProfilePlaces(connection, [], {})
    texts = {"aibrix:profile_m_d": b"1", "aibrix:profile_m_d_d": b"2", "aibrix:profile_org/m*_d": b"3"}
    for key, text in texts.items():
        server.own_client.set(key, text)
    found = await places.in_redis(
        [a_deployment("d"), a_deployment("d", "m_d"), a_deployment("d", "org/m*"), a_deployment("e")]
    )

    assert texts == found
    assert {} == await places.in_redis([])


async def test_a_key_that_holds_no_text_is_no_profile(server: RedisServer, connection: Connection):
    server.own_client.lpush("aibrix:profile_m_d", "1")

    assert {"aibrix:profile_m_d": NO_TEXT} == await ProfilePlaces(connection, [], {}).in_redis([a_deployment("d")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(a_profile(name, 1.0, GRID))
    (tmp_path / "notes.txt").write_text("no profile")
    return tmp_path


def test_files_are_for_the_deployment_that_they_name(folder: Path, connection: Connection):
    places = ProfilePlaces(connection, [folder, folder / "gone.json"], {})
    a, c = a_deployment("a"), a_deployment("c")

    offers, notes = places.offers([a, c], {"aibrix:profile_m_a": b"text"})

    assert ["key aibrix:profile_m_a", str(folder / "a.json")] == [found.place for found in offers[a].own]
    assert [] == offers[c].own
    assert ["key aibrix:profile_m_c", str(folder), str(folder / "gone.json")] == offers[c].looked_at
    assert (
        f'{folder / "b.json"}: gpu = "b", must be the name of a known deployment',
        f'{folder / "gone.json"}: gpu = "", must be the name of a known deployment',
    ) == notes


def test_a_deployment_may_name_its_file_or_a_bundled_profile(folder: Path, connection: Connection):
    places = ProfilePlaces(connection, [], BUNDLED)
    file = a_deployment("x", profile=str(folder / "b.json"))
    named, by_gpu, neither = a_deployment("y", profile="L20"), a_deployment("z", gpu="L20"), a_deployment("n", gpu="H9")

    offers, notes = places.offers([file, named, by_gpu, neither], {})

    assert ([str(folder / "b.json")], ()) == ([found.place for found in offers[file].own], notes)
    assert [["bundled L20"], ["bundled L20"], []] == [
        [found.place for found in offers[each].bundled] for each in (named, by_gpu, neither)
    ]
    assert "bundled H9" in offers[neither].looked_at
