import asyncio
import contextlib
from dataclasses import replace
from random import Random

import orjson
import pytest

from gateway.discovery.probing.model_lists import Listing, ModelLists, listed
from tests.support.pods import an_endpoint
from tests.support.polling import until
from tests.support.recordings import recorded_body
from tests.support.shapes import read_recording
from tests.support.source_tree import ROOT


def test_a_recorded_list_tells_how_much_its_model_takes():
    assert Listing({"tiny": 8192}) == listed(recorded_body("get_models.http"))


@pytest.mark.parametrize(
    "cards",
    [[], [{}], [None, 3, "x"], [{"id": ""}], [{"id": 3, "max_model_len": 5}]],
)
def test_what_names_no_model_is_left_out(cards):
    assert {"known": 1} == listed(orjson.dumps({"data": [*cards, {"id": "known", "max_model_len": 1}]})).lengths


@pytest.mark.parametrize("length", [None, 0, -1, "8192", 1.5, [8192]])
def test_a_length_that_is_not_told_is_unknown(length):
    cards = [{"id": "m", "max_model_len": length}, {"id": "n"}]

    assert {"m": None, "n": None} == listed(orjson.dumps({"data": cards})).lengths


def test_a_recorded_list_tells_which_of_its_models_are_adapters():
    recording = read_recording(ROOT / "tests/simulator/recordings/lora_models.http")

    assert ("ad1", "ad2") == listed(recording.body).adapters


@pytest.mark.parametrize("page", [b"", b"{}", b"[]", b"not json", b'{"data":{}}', b'{"error":"Unauthorized"}'])
def test_another_answer_is_no_list(page):
    with pytest.raises((ValueError, TypeError)):
        listed(page)


async def test_every_endpoint_is_asked_at_once_and_silence_changes_nothing():
    told, is_told = {}, asyncio.Event()

    def report(pod: str, found: Listing) -> None:
        told[pod] = found
        is_told.set()

    async def fetch(address: str) -> bytes:
        if address.endswith("2:8000"):
            raise ConnectionRefusedError
        return b'{"data":[{"id":"m","max_model_len":7}]}'

    lists = ModelLists(fetch, report, Random(1))
    lists.replace([an_endpoint("a", address="10.0.0.1:8000"), an_endpoint("b", address="10.0.0.2:8000")])
    running = asyncio.create_task(lists.run())
    await asyncio.wait_for(is_told.wait(), 5)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running

    assert {"a": Listing({"m": 7})} == told


@pytest.mark.parametrize(("adapters", "asked"), [(False, {"10.0.0.1:8000"}), (True, {"10.0.0.2:8000"})])
async def test_engines_whose_lists_tell_their_adapters_are_asked_apart(adapters: bool, asked: set[str]):
    seen: set[str] = set()

    async def fetch(address: str) -> bytes:
        seen.add(address)
        return b'{"data":[]}'

    lists = ModelLists(fetch, lambda _pod, _found: None, Random(1), adapters=adapters)
    listing = replace(an_endpoint("b", address="10.0.0.2:8000"), lists_adapters=True)
    lists.replace([an_endpoint("a", address="10.0.0.1:8000"), listing])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lists.run())
        await until(lambda: bool(seen))
        running.cancel()

    assert asked == seen


async def test_an_engine_that_is_not_there_has_no_adapters():
    told: list[tuple[str, Listing]] = []

    async def fetch(address: str) -> bytes:
        raise ConnectionRefusedError if address == "10.0.0.1:8000" else TimeoutError

    for adapters in (True, False):
        lists = ModelLists(fetch, lambda pod, found: told.append((pod, found)), Random(1), adapters=adapters)
        endpoints = [an_endpoint("a", address="10.0.0.1:8000"), an_endpoint("b", address="10.0.0.2:8000")]
        lists.replace([replace(endpoint, lists_adapters=adapters) for endpoint in endpoints])
        running = asyncio.create_task(lists.run())
        await asyncio.sleep(0.05)
        running.cancel()

    assert [("a", Listing({}))] == told
