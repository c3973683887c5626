"""The calls for adapters: statuses, messages and bodies of the contract."""

from typing import Any

import httpx
import pytest

from tests.support.adapter_gateways import a_gateway
from tests.support.admin import an_admin
from tests.support.engines import an_engine
from tests.support.redis import redis_server

LOAD = {"model": "tiny", "name": "ad", "path": "/ad"}


async def test_an_adapter_is_loaded_listed_and_unloaded():
    with redis_server() as server:
        async with an_engine() as (running, engine), a_gateway(server.url, running.address) as gateway:
            transport = httpx.ASGITransport(gateway.admin)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
                loaded = await client.post("/LoadAdapter", json={**LOAD, "replicas": 1, "policy": "binPack"})
                there = [card["id"] for card in (await engine.get("/v1/models")).json()["data"]]
                listed = await client.get("/adapters")
                models = [card["id"] for card in (await client.get("/v1/models")).json()["data"]]
                unloaded = await client.post("/UnloadAdapter", json={"name": "ad"})
                left = [card["id"] for card in (await engine.get("/v1/models")).json()["data"]]

                server.kill()
                away = [await client.post("/LoadAdapter", json=LOAD), await client.get("/adapters")]

    adapter = {"name": "ad", "model": "tiny", "pods": [running.address]}
    assert (200, {"message": "Loaded Adapter: ad", "adapter": adapter}) == (loaded.status_code, loaded.json())
    assert ({"adapters": [adapter]}, ["ad", "tiny"]) == (listed.json(), models)
    assert {"message": "Unloaded Adapter: ad", "adapter": adapter} == unloaded.json()
    assert (["tiny", "ad"], ["tiny"]) == (there, left)
    assert [503, 503] == [answer.status_code for answer in away]


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
