"""Requests in a real Envoy go as told, down the list, never to another model, and past dead workers."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.processor import NOT_SERVING, Answer, ObservedEnd, Processor


async def hello(exchange: Exchange) -> None:
    await exchange.reply(b"{}")


def as_told(seen: ObservedEnd) -> Answer:
    """The client of these tests says what the gateway answers."""
    return Answer(seen.headers.get("to", ""), seen.headers.get("model", ""))


async def test_a_request_goes_where_the_gateway_says(tmp_path: Path):
    async with running_backend(hello) as a, running_backend(hello) as b:
        models = {"m": {"pod-a": a.address, "pod-b": b.address}}
        async with stack(tmp_path, [Processor(as_told)], models) as client:
            for pod, engine in (("pod-b", b), ("pod-a", a), ("pod-b", b)):
                answer = await client.post("/", headers={"to": engine.address, "model": "m"})
                assert pod == answer.headers["target-pod"]


async def test_dead_pods_are_passed_over_down_the_list_and_the_answer_names_the_one_that_answered(tmp_path: Path):
    async with running_backend(hello) as alive:
        dead = [free_address(), free_address()]
        models = {"m": {"dead-1": dead[0], "dead-2": dead[1], "alive": alive.address}}
        async with stack(tmp_path, [Processor(as_told)], models) as client:
            answer = await client.post("/", headers={"to": ",".join([*dead, alive.address]), "model": "m"})

    assert (answer.status_code, answer.headers["target-pod"]) == (200, "alive")


async def test_no_request_reaches_a_pod_of_another_model(tmp_path: Path):
    async with running_backend(hello) as mine, running_backend(hello) as other:
        dead = free_address()
        models = {"m": {"mine": mine.address, "dead": dead}, "n": {"other": other.address}, "lonely": {"dead": dead}}
        async with stack(tmp_path, [Processor(as_told)], models) as client:
            for _ in range(5):
                rescued = await client.post("/", headers={"to": f"{dead},10.9.9.9:1", "model": "m"})
                assert rescued.status_code in (200, 503)  # the second dead try may be the last one
                stranger = await client.post("/", headers={"to": "10.9.9.9:1", "model": "m"})
                assert stranger.headers.get("target-pod") != "other"
                assert (await client.post("/", headers={"to": dead, "model": "lonely"})).status_code == 503
                assert (await client.post("/", headers={"to": "10.9.9.9:1", "model": "unknown"})).status_code == 503
                assert (await client.post("/")).status_code == 503

    assert mine.requests
    assert not other.requests


async def test_without_a_gateway_requests_are_refused_or_spread_as_the_setting_says(tmp_path: Path):
    async with running_backend(hello) as engine:
        for fail_open, status in ((False, 503), (True, 200)):
            directory = tmp_path / str(fail_open)
            directory.mkdir()
            gateway = Processor(as_told)
            models = {"m": {"pod-a": engine.address}}
            async with stack(directory, [gateway], models, envoy={"fail_open": fail_open}) as client:
                await gateway.stop()
                assert status == (await client.post("/")).status_code


async def test_a_killed_worker_is_passed_over_and_taken_back(tmp_path: Path):
    async with running_backend(hello) as engine:
        workers = [Processor(lambda seen: Answer(engine.address, "m")) for _ in range(2)]
        async with stack(tmp_path, workers, {"m": {"pod-a": engine.address}}) as client:

            async def send(count: int) -> Counter[int]:
                return Counter([(await client.post("/")).status_code for _ in range(count)])

            await send(2)
            address = workers[0].address
            await workers[0].stop()
            assert Counter({200: 40}) == await send(40)

            again = Processor(lambda seen: Answer(engine.address, "m"))
            await again.start(address)

            async def taken_back() -> bool:
                await client.post("/")
                return bool(again.seen)

            await until(taken_back)
            await again.stop()


@pytest.mark.parametrize("gateways", ["127.0.0.1:{}", "LOCALHOST:{}"])
async def test_a_gateway_that_drains_gets_no_new_request_of_the_envoy_in_front_of_several(
    tmp_path: Path, gateways: str
):
    async with running_backend(hello) as engine:
        both = [Processor(lambda seen: Answer(engine.address, "m")) for _ in range(2)]
        async with stack(tmp_path, both, {"m": {"pod-a": engine.address}}, gateways=gateways) as client:

            async def each_is_asked() -> bool:
                assert 200 == (await client.post("/")).status_code
                return all(gateway.seen for gateway in both)

            await until(each_is_asked)
            both[0].status = NOT_SERVING

            async def only_the_other_is_asked() -> bool:
                before = [len(gateway.seen) for gateway in both]
                for _ in range(20):
                    assert 200 == (await client.post("/")).status_code
                return [before[0], before[1] + 20] == [len(gateway.seen) for gateway in both]

            await until(only_the_other_is_asked)
