"""The page for people, in a real browser."""

import asyncio
import re
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from optimizer.service.board import Board
from optimizer.service.history import Moment
from optimizer.service.pages import Pages, on_http_error
from optimizer.service.profile_places import ProfilePlaces
from optimizer.service.profile_reader import ProfileReader
from tests.support.boards import L20, NOW_S, V100, a_board, a_decided_board
from tests.support.browser import needs_chromium, rendered
from tests.support.ports import free_port
from traffic.connection import Connection

pytestmark = needs_chromium


async def no_traces() -> set[str]:
    return set()


async def in_a_browser(board: Board, model: str, directory: Path) -> str:
    """The page of a model, as a browser shows it."""
    places = ProfilePlaces(Connection("unix:///nonexistent/redis.sock", 5.0), [], {})
    routes = Pages(board, ProfileReader(board, places), no_traces).routes()
    app = Starlette(routes=routes, exception_handlers={HTTPException: on_http_error})
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=(port := free_port()), log_level="error"))
    serving = asyncio.create_task(server.serve())
    try:
        return await rendered(f"http://127.0.0.1:{port}/dash/{model}", directory)
    finally:
        server.should_exit = True
        await serving


def texts(page: str) -> str:
    """The page's words."""
    body = page.partition("</style>")[2].partition("<script>")[0]
    return " ".join(re.sub("<[^>]+>", " ", body).split())


async def test_load_plan_cost_and_mix_are_shown(tmp_path: Path):
    board, model = a_decided_board(30.0, sent={"m-l20": 100})
    for n, replicas in enumerate((1, 3, 2)):
        moment = Moment(NOW_S + 60 * n, 10.0 * replicas, {L20.key: replicas, V100.key: 0}, 1.0 * replicas, 0.0)
        model.history.add(moment)
    model.history.add(Moment(NOW_S + 240, 10.0, {L20.key: 2, V100.key: 0}, None, None))  # the last decision stands

    page = await in_a_browser(board, "org/m", tmp_path)

    shown = texts(page)
    assert "org/m Decided" in shown
    assert re.search(r"\b30 requests/s planned for 5 replicas wanted 5 cost per hour", shown)
    assert "m-l20 5 5 100 % 100 % m-v100 0 0 0 % 0 %" in shown
    drawings = re.findall(r'<svg[^>]*aria-label="([^"]*)"', page)
    assert [
        "Load by input and output length",
        "Replicas by deployment over time",
        "Cost and load over time",
    ] == drawings
    assert re.search(r"<title>12\d in, 3\d out: 30 requests/s to m-l20 100 %</title>", page)
    steps = re.findall(r'<path fill="none"[^>]* d="M[\d.]+ [\d.]+(?:H[\d.]+V[\d.]+){2,3}H[\d.]+"', page)
    assert 3 == len(steps)  # replicas of both deployments, and the cost


@pytest.mark.parametrize(
    ("model", "said"),
    [("org/m", "org/m: nothing was decided yet"), ("nope", "no deployment of nope is known; models: org/m")],
)
async def test_the_page_says_why_there_is_nothing_to_show(model: str, said: str, tmp_path: Path):
    page = await in_a_browser(a_board(), model, tmp_path)

    assert said in texts(page)
    assert "<svg" not in page


async def test_names_are_text(tmp_path: Path):
    page = await in_a_browser(a_board(), "%3Cimg%20src=x%20onerror=document.title='taken'%3E", tmp_path)

    assert "<img" not in page.partition("<script>")[0]
    assert "<title>taken" not in page
