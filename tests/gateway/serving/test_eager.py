import asyncio

import pytest

from gateway.serving.eager import begin


async def test_what_comes_before_the_first_wait_has_happened_when_begin_returns():
    happened = []

    async def ask(answer: asyncio.Future[int]) -> int:
        happened.append("asked")
        return await answer

    answer = asyncio.get_running_loop().create_future()
    asking = begin(ask(answer))
    assert ["asked"] == happened

    asyncio.get_running_loop().call_soon(answer.set_result, 7)
    assert 7 == await asking


async def test_a_coroutine_that_need_not_wait_has_its_result_at_once():
    async def known() -> int:
        return 7

    assert 7 == await begin(known())


async def test_what_is_raised_before_the_first_wait_is_raised_by_begin_and_what_is_raised_later_by_await():
    async def fail(waits: int) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise KeyError(waits)

    with pytest.raises(KeyError, match="0"):
        begin(fail(0))
    failing = begin(fail(2))
    with pytest.raises(KeyError, match="2"):
        await failing


async def test_a_cancelled_wait_is_the_coroutines_to_handle():
    async def patient() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "tidied up"
        return ""

    async def wait() -> str:
        return await begin(patient())

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()

    assert "tidied up" == await waiting


async def test_a_deadline_around_the_wait_holds():
    never = begin(asyncio.Event().wait())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await never


async def test_then_goes_on_without_a_task_and_tells_when_it_is_done():
    answer = asyncio.get_running_loop().create_future()

    async def ask() -> int:
        await asyncio.sleep(0)
        return int(await answer) + 1

    told: list[int] = []
    asking = begin(ask())
    asking.then(lambda: told.append(asking.result()))
    await asyncio.sleep(0)
    assert (False, []) == (asking.done, told)

    answer.set_result(7)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (True, [8]) == (asking.done, told)


@pytest.mark.parametrize("error", [KeyError("theirs"), ZeroDivisionError()])
async def test_an_error_after_then_is_raised_by_result(error: Exception):
    answer = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        await answer

    told = asyncio.Event()
    asking = begin(ask())
    asking.then(told.set)
    answer.set_exception(error)

    await told.wait()
    with pytest.raises(type(error)):
        asking.result()


async def test_an_answer_that_came_before_then_is_told_all_the_same():
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ask() -> int:
        return int(await answer)

    told = asyncio.Event()
    asking = begin(ask())
    answer.set_result(7)
    asking.then(told.set)

    await told.wait()
    assert 7 == asking.result()
