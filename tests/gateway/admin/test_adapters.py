"""The calls for adapters: statuses, messages and bodies of the contract."""

from typing import Any

import pytest

from tests.support.admin import an_admin
from tests.support.engines import an_engine
from tests.support.pods import a_pod

LOAD = {"model": "tiny", "name": "ad", "path": "/ad"}


async def test_an_adapter_is_loaded_listed_and_unloaded():
    async with an_engine() as (running, engine):
        pod = a_pod("a", address=running.address, models=("tiny",), lists_adapters=True)
        loaded = await an_admin(pods=[pod]).call("/LoadAdapter", {**LOAD, "replicas": 1, "policy": "binPack"})
        there = [card["id"] for card in (await engine.get("/v1/models")).json()["data"]]
        pods = [a_pod("a", address=running.address, models=("tiny", "ad"), lists_adapters=True)]
        listed = await an_admin(pods=pods).client.get("/adapters")
        unloaded = await an_admin(pods=pods).call("/UnloadAdapter", {"name": "ad"})
        left = [card["id"] for card in (await engine.get("/v1/models")).json()["data"]]

    adapter = {"name": "ad", "model": "tiny", "pods": ["a"]}
    assert (200, {"message": "Loaded Adapter: ad", "adapter": adapter}) == (loaded.status_code, loaded.json())
    assert {"adapters": [adapter]} == listed.json()
    assert {"message": "Unloaded Adapter: ad", "adapter": adapter} == unloaded.json()
    assert (["tiny", "ad"], ["tiny"]) == (there, left)


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/LoadAdapter", LOAD, 404, "model"),
        ("/LoadAdapter", {**LOAD, "name": "a/b"}, 422, "name"),
        ("/LoadAdapter", {**LOAD, "replicas": 0}, 422, "replicas"),
        ("/LoadAdapter", {**LOAD, "policy": "best"}, 422, "policy"),
        ("/LoadAdapter", {**LOAD, "pfad": "x"}, 422, "pfad"),
        ("/UnloadAdapter", {"name": "ad"}, 404, "name"),
    ],
)
async def test_what_cannot_be_done_has_the_shape_of_the_other_errors(
    path: str, body: dict[str, Any], status: int, param: str
):
    answer = await an_admin().call(path, body)

    assert (status, param) == (answer.status_code, answer.json()["error"]["param"])
    assert answer.json()["message"] == answer.json()["error"]["message"]


async def test_the_token_is_needed_for_them_too():
    admin = an_admin("secret")

    answers = await admin.call("/LoadAdapter", LOAD), await admin.client.get("/adapters")

    assert [401, 401] == [one.status_code for one in answers]
