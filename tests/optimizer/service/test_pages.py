"""The HTTP pages on the real application."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from optimizer.service.board import Board
from optimizer.service.pages import MOST_BYTES, Pages, on_http_error
from optimizer.service.profile_places import ProfilePlaces
from optimizer.service.profile_reader import ProfileReader
from tests.support.boards import L20, PROFILES, V100, a_board, a_decided_board
from tests.support.redis import RedisServer
from traffic.connection import Connection, RedisAwayError

NOWHERE = Connection("unix:///nonexistent/redis.sock", 5.0)
JSON = {"accept": "application/json"}


async def no_traces() -> set[str]:
    return set()


def a_client(board: Board, connection: Connection = NOWHERE, traced: Any = no_traces) -> httpx.AsyncClient:
    pages = Pages(board, ProfileReader(board, ProfilePlaces(connection, [], {})), traced)
    app = Starlette(routes=pages.routes(), exception_handlers={HTTPException: on_http_error})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://optimizer")


async def test_the_gauge_is_that_of_the_deployment():
    async with a_client(a_decided_board()[0]) as client:
        answer = await client.get("/metrics/default/m-l20")
        raw = await client.get("/metrics/default/m-l20?raw=1")

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert 'vllm:deployment_replicas{model_name="org/m"} 500\n' in answer.text
    assert 'vllm:deployment_replicas{model_name="org/m"} 5\n' in raw.text


@pytest.mark.parametrize(
    ("board", "why"),
    [
        (a_decided_board()[0], "default/x is not known"),
        (a_board(), "default/m-l20 is not monitored, or nothing was decided yet"),
    ],
)
async def test_a_deployment_without_replicas_is_404(board: Board, why: str):
    async with a_client(board) as client:
        answer = await client.get(f"/metrics/{why.partition(' ')[0]}")

    assert (404, {"error": f"Failed to read metrics: {why}"}) == (answer.status_code, answer.json())


async def test_monitoring_ends_and_begins():
    board, _ = a_decided_board()
    async with a_client(board) as client:
        stopped = await client.delete("/monitor/default/m-l20")
        assert ({"message": "Deployment optimization stopped"}, 404) == (
            stopped.json(), (await client.get("/metrics/default/m-l20")).status_code
        )  # fmt: skip
        assert ["m-v100"] == [each.name for each in board.models["org/m"].deployments]
        started = [(await client.post("/monitor/default/m-l20")).json()["message"] for _ in range(2)]
        assert ["Deployment optimization started", "Deployment optimization already started"] == started
        assert 200 == (await client.get("/metrics/default/m-l20")).status_code
        unknown = [await client.request(method, "/monitor/default/x") for method in ("POST", "DELETE")]
        assert [404, 404] == [each.status_code for each in unknown]
        assert [{"error": "default/x is not known"}] * 2 == [each.json() for each in unknown]


async def test_replicas_by_hand_are_published_until_they_are_cleared():
    async with a_client(a_decided_board()[0]) as client:
        for replicas, published in ((7, 700), (0, 0), (-1, 500)):
            answer = await client.put("/scale/default/m-l20", json={"replicas": replicas})
            assert (200, {"message": f"Scaled to {replicas}"}) == (answer.status_code, answer.json())
            assert f"}} {published}\n" in (await client.get("/metrics/default/m-l20")).text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"replicas": 1.5}', b'{"replicas": "3"}', b'{"replicas": true}',
        b'{"replicas": 1e400}', b'{"replicas": 99999999}', b"\xff", b"[" * 100_000,
        b'{"replicas": ' + b"9" * 10_000 + b"}",
    ],
)  # fmt: skip
async def test_replicas_that_are_no_number_change_nothing(body: bytes):
    board, _ = a_decided_board()
    async with a_client(board) as client:
        answer = await client.put("/scale/default/m-l20", content=body)

    assert (400, ["error"], {}) == (answer.status_code, list(answer.json()), board.overrides)


async def test_replicas_of_an_unknown_deployment_are_404():
    async with a_client(a_decided_board()[0]) as client:
        assert 404 == (await client.put("/scale/default/x", json={"replicas": 1})).status_code


async def test_profiles_are_read_again_when_asked(server: RedisServer, connection: Connection):
    board = a_board()
    async with a_client(board, connection) as client:
        server.own_client.set("aibrix:profile_org/m_m-l20", PROFILES[L20])
        board.models["org/m"].is_due = False
        answer = await client.get("/update_profile/org/m")
        assert (200, {"message": "workload profile of org/m updated"}) == (answer.status_code, answer.json())
        assert board.models["org/m"].is_due
        assert "m-l20" in board.shelf.of([L20, V100])

        board.models["org/m"].is_due = False
        await client.get("/update_profile/org/m")
        assert not board.models["org/m"].is_due, "nothing changed, so nothing is decided: asking often changes nothing"
        unknown = await client.get("/update_profile/x")
        assert (404, {"error": "x not monitored"}) == (unknown.status_code, unknown.json())


async def test_plan_and_history_are_those_of_the_model_with_a_slash_in_its_name():
    async with a_client(a_decided_board()[0]) as client:
        plans = [(await client.get(path)).json() for path in ("/plan/org/m", "/plan/org%2Fm")]
        history = (await client.get("/history/org/m")).json()

    assert [5.0, 5.0] == [plan["cost"] for plan in plans]
    assert "org/m" == history["model"]


@pytest.mark.parametrize("page", ["plan", "history", "explain"])
async def test_an_unknown_model_is_404_and_names_those_that_there_are(page: str):
    async with a_client(a_decided_board()[0]) as client:
        answer = await client.get(f"/{page}/x")

    assert (404, {"error": "no deployment of x is known; models: org/m"}) == (answer.status_code, answer.json())


async def test_a_plan_that_is_not_there_yet_is_404():
    async with a_client(a_board()) as client:
        assert {"error": "org/m: nothing was decided yet"} == (await client.get("/plan/org/m")).json()


async def test_an_explanation_is_text_or_json():
    async with a_client(a_decided_board()[0]) as client:
        text, values = await client.get("/explain/org/m"), await client.get("/explain/org/m", headers=JSON)

    assert text.text.startswith("model: org/m\n")
    assert "org/m" == values.json()["model"]


async def test_an_explanation_names_models_with_traces_and_asks_for_them_rarely():
    asked = []

    async def traced() -> set[str]:
        asked.append(1)
        return {"other"}

    async with a_client(a_board(), traced=traced) as client:
        pages = [(await client.get("/explain/org/m")).text for _ in range(3)]

    assert all("there are traces of other" in page for page in pages)
    assert 1 == len(asked)


async def test_an_explanation_does_without_redis():
    async def away() -> set[str]:
        raise RedisAwayError("away")

    async with a_client(a_board(), traced=away) as client:
        assert 200 == (await client.get("/explain/org/m")).status_code


async def test_a_simulation_answers_for_the_model_and_for_a_case():
    case = {"gpus": {"a": {"cost": 1.0, "throughput": [2.0]}}, "rate": [3.0]}
    async with a_client(a_decided_board()[0]) as client:
        doubled = await client.post("/simulate", json={"model": "org/m", "factor": 2})
        alone = await client.post("/simulate", json=case)

    assert (200, 9.0) == (doubled.status_code, doubled.json()["cost"])
    assert (200, {"a": 2}) == (alone.status_code, alone.json()["replicas"])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "no JSON"),
        (b"[]", "must be an object"),
        (b'{"model": "x"}', "model = x, is not known, or nothing was decided yet"),
        (b'{"model": "org/m", "factr": 2}', "factr: unknown, did you mean factor?"),
        (b'{"gpus": {}, "rate": [1], "x": 1}', "x: unknown key"),
        (json.dumps({f"k{n}": n for n in range(10_000)}).encode(), "model: is missing"),
    ],
)
async def test_a_question_that_makes_no_sense_is_400_in_short(body: bytes, why: str):
    async with a_client(a_decided_board()[0]) as client:
        answer = await client.post("/simulate", content=body)

    assert 400 == answer.status_code
    assert why in answer.json()["error"]
    assert len(answer.text) < 5000


async def test_one_question_is_answered_at_a_time():
    case = {
        "gpus": {f"g{n}": {"cost": 1 + n / 7, "throughput": [1 + (n * b) % 7 for b in range(100)]} for n in range(10)},
        "rate": [1.3] * 100,
    }
    async with a_client(a_decided_board()[0]) as client:
        answers = await asyncio.gather(*(client.post("/simulate", json=case) for _ in range(3)))

    assert [200, 429, 429] == sorted(answer.status_code for answer in answers)


@pytest.mark.parametrize(("method", "path"), [("PUT", "/scale/default/m-l20"), ("POST", "/simulate")])
async def test_a_body_that_is_too_long_is_not_read(method: str, path: str):
    async with a_client(a_decided_board()[0]) as client:
        answer = await client.request(method, path, content=b" " * (MOST_BYTES + 1))

    assert (413, ["error"]) == (answer.status_code, list(answer.json()))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/metrics/default/m-l20", 405), ("GET", "/scale/default/m-l20", 405)],
)
async def test_other_paths_and_methods_are_errors_of_the_same_form(method: str, path: str, status: int):
    async with a_client(a_decided_board()[0]) as client:
        answer = await client.request(method, path)

    assert (status, ["error"]) == (answer.status_code, list(answer.json()))
