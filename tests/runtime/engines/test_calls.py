from collections.abc import Callable

import httpx
import pytest

from runtime.engines.calls import Calls, engine_client, refusal, words
from runtime.errors import Problem
from tests.support.http_engine import HttpEngine
from tests.support.own_engine import own_engine
from tests.support.sidecar import AWAY, PAUSES_S


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Calls:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://engine")
    return Calls(client, pauses_s=PAUSES_S)


async def test_an_engine_that_is_away_is_a_502():
    async with engine_client(AWAY) as client:
        with pytest.raises(Problem, match=r"the engine at http://127\.0\.0\.1:1 is away") as caught:
            await Calls(client).ask("GET", "/health")

    assert 502 == caught.value.status


async def test_an_engine_that_is_late_is_a_408():
    async with HttpEngine(None) as server, engine_client(f"http://{server.address}") as client:
        with pytest.raises(Problem, match=r"did not answer GET /health within 0\.05 s") as caught:
            await Calls(client).ask("GET", "/health", timeout_s=0.05)

    assert 408 == caught.value.status


@pytest.mark.parametrize(("statuses", "last"), [([500, 200], 200), ([503, 502, 500, 200], 500), ([404], 404)])
async def test_a_change_is_repeated_while_the_engine_is_to_blame(statuses: list[int], last: int):
    left = list(statuses)

    answer = await answering(lambda _: httpx.Response(left.pop(0))).change("/v1/load_lora_adapter", {})

    assert last == answer.status_code
    assert max(0, len(statuses) - 3) == len(left)


async def test_a_change_is_repeated_when_the_connection_breaks():
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        if len(tries) < 3:
            raise httpx.ReadError("broken")
        return httpx.Response(200)

    assert 200 == (await answering(answer).change("/x")).status_code


async def test_a_change_that_takes_too_long_is_not_repeated():
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ReadTimeout("late")

    with pytest.raises(Problem):
        await answering(answer).change("/x")
    assert 1 == len(tries)


async def test_the_key_is_sent_and_a_callers_own_goes_before_it():
    with own_engine() as engine:
        async with engine_client(f"http://{engine.address}") as client:
            calls = Calls(client, "Bearer ours")
            await calls.ask("POST", "/a", {})
            await calls.with_authorization("Bearer theirs").ask("POST", "/a", {})
            await calls.with_authorization("").ask("POST", "/a", {})

        sent = [one.headers.get("authorization") for one in engine.received]
    assert ["Bearer ours", "Bearer theirs", "Bearer ours"] == sent


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"No adapter found"}}', "No adapter found"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"success":false,"error_message":"rank 64 is too large"}', "rank 64 is too large"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b"plain", "plain"),
        (b"", "status 400"),
    ],
)
def test_the_words_of_an_engine_are_those_of_its_error(body: bytes, said: str):
    assert said == words(httpx.Response(400, content=body))


@pytest.mark.parametrize(("theirs", "ours"), [(400, 400), (404, 404), (500, 502), (503, 502)])
def test_an_engines_own_failure_is_a_502(theirs: int, ours: int):
    assert ours == refusal(httpx.Response(theirs, text="x")).status
