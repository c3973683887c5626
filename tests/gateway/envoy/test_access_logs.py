"""The access logs of a real Envoy: their content, their receiver and their time."""

import asyncio
from pathlib import Path

import pytest

from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.polling import until
from tests.support.ports import free_address
from tests.support.processor import Answer, ObservedEnd, Processor


async def hello(exchange: Exchange) -> None:
    await exchange.reply(b"{}")


@pytest.mark.parametrize("workers", [1, 3])
async def test_the_access_log_entry_reaches_the_worker_that_holds_the_exchange(tmp_path: Path, workers: int):
    def worker(index: int) -> Processor:
        def answer(seen: ObservedEnd) -> Answer:
            return Answer(engine.address, "m", {"forebay": {"exchange": f"{index}-{len(processors[index].seen)}"}})

        return Processor(answer)

    async with running_backend(hello) as engine:
        processors = [worker(index) for index in range(workers)]
        async with stack(tmp_path, processors, {"m": {"pod-a": engine.address}}) as client:
            while min(len(processor.seen) for processor in processors) < 3:  # Envoy draws the worker
                await client.post("/")
            await until(lambda: all(len(processor.logged) == len(processor.seen) for processor in processors))

    for index, processor in enumerate(processors):
        assert [f"{index}-{n + 1}" for n in range(len(processor.seen))] == exchanges_logged(processor)


async def test_of_several_gateways_any_gets_the_entries_whoever_holds_the_exchange(tmp_path: Path):
    async with running_backend(hello) as engine:
        both = [Processor(lambda seen: Answer(engine.address, "m", {"forebay": {"exchange": "0-a-1"}})) for _ in "ab"]
        async with stack(tmp_path, both, {"m": {"pod-a": engine.address}}, gateways="127.0.0.1:{}") as client:
            while not all(gateway.seen for gateway in both):
                await client.post("/")
            sent = sum(len(gateway.seen) for gateway in both)
            await until(lambda: sent == sum(len(gateway.logged) for gateway in both))

    assert {"0-a-1"} == {exchange for gateway in both for exchange in exchanges_logged(gateway)}


def exchanges_logged(processor: Processor) -> list[str]:
    return [entry.common_properties.metadata.filter_metadata["forebay"]["exchange"] for entry in processor.logged]


async def test_a_request_that_never_reached_an_exchange_is_not_logged(tmp_path: Path):
    async with running_backend(hello) as engine:

        def answer(seen: ObservedEnd) -> Answer:
            if "refused" in seen.headers:
                return Answer(refuse=429, body=b"{}")
            return Answer(engine.address, "m", {"forebay": {"exchange": "0-1"}})

        gateway = Processor(answer)
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            await client.post("/", headers={"refused": "1"})
            await client.post("/")
            await until(lambda: bool(gateway.logged))

    assert len(gateway.logged) == 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_attempt_that_failed_is_told_every_worker_while_another_engine_still_answers(
    tmp_path: Path, workers: int
):
    told = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await told.wait()
        await exchange.reply(b"{}")

    async with running_backend(slow) as engine:
        dead = free_address()

        def answer(seen: ObservedEnd) -> Answer:
            return Answer(f"{dead},{engine.address}", "m", {"forebay": {"exchange": "0-1"}})

        processors = [Processor(answer) for _ in range(workers)]
        async with stack(tmp_path, processors, {"m": {"dead": dead, "pod-a": engine.address}}) as client:
            asked = asyncio.create_task(client.post("/"))
            await until(lambda: all(processor.logged for processor in processors))
            assert not asked.done()
            told.set()
            assert 200 == (await asked).status_code

    entries = [processor.logged[0].common_properties for processor in processors]
    assert {int(dead.rpartition(":")[2])} == {
        entry.upstream_remote_address.socket_address.port_value for entry in entries
    }
    assert not any("forebay" in entry.metadata.filter_metadata for entry in entries)
