"""Keys that wait for workers."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.backoff import Backoff
from kube.errors import ApiError
from kube.objects import Key
from kube.queue import Schedule, WorkQueue
from tests.support.polling import until

FAST = Backoff(first_s=0.001, cap_s=0.002)


def test_a_key_that_is_added_twice_is_taken_once():
    schedule = Schedule()
    schedule.add("a", 1)
    schedule.add("a", 2)

    assert ["a", None] == [schedule.take(5), schedule.take(5)]


def test_a_key_is_taken_when_it_is_due_and_the_earliest_time_counts():
    schedule = Schedule()
    schedule.add("a", 10)
    schedule.add("a", 5)

    assert (5, None) == (schedule.next_s(), schedule.take(4.9))
    assert ("a", None) == (schedule.take(5), schedule.next_s())


def test_the_one_that_waits_for_longest_comes_first():
    schedule = Schedule()
    for key, due_s in (("late", 3), ("first", 1), ("second", 2)):
        schedule.add(key, due_s)

    assert ["first", "second", "late"] == [schedule.take(9) for _ in range(3)]


def test_a_key_that_is_being_worked_on_is_worked_on_again_afterwards():
    schedule = Schedule()
    schedule.add("a", 0)
    assert "a" == schedule.take(0)
    schedule.add("a", 1)

    assert None is schedule.take(2)
    schedule.done("a")
    assert "a" == schedule.take(2)
    schedule.done("a")
    assert None is schedule.take(3)


STEPS = st.lists(st.tuples(st.sampled_from(["add", "take", "done"]), st.sampled_from("abc"), st.integers(0, 5)))


@given(STEPS)
def test_no_key_is_lost_and_none_is_taken_twice_at_a_time(steps: list[tuple[str, str, int]]):
    schedule, wanted, working = Schedule(), set[Key](), set[Key]()
    for now_s, (step, key, delay_s) in enumerate(steps):
        if step == "add":
            schedule.add(key, now_s + delay_s)
            wanted.add(key)
        elif step == "take" and (taken := schedule.take(now_s)) is not None:
            assert taken in wanted - working
            wanted.discard(taken)
            working.add(taken)
        elif step == "done" and key in working:
            schedule.done(key)
            working.discard(key)
    for key in working:
        schedule.done(key)

    left = set()
    while (taken := schedule.take(1000)) is not None:
        left.add(taken)
    assert wanted == left


class Work:
    """Counts what is worked on; the keys in `broken` fail."""

    def __init__(self) -> None:
        self.seen: list[Key] = []
        self.at_once: dict[Key, int] = {}
        self.broken: dict[Key, Exception] = {}
        self.again_s: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> float | None:
        self.at_once[key] = self.at_once.get(key, 0) + 1
        assert 1 == self.at_once[key]
        self.seen.append(key)
        await asyncio.sleep(0)
        self.at_once[key] -= 1
        if key in self.broken:
            raise self.broken[key]
        return self.again_s.pop(key, None)


async def run(queue: WorkQueue, work: Work, workers: int = 3) -> "list[asyncio.Task[None]]":
    return [asyncio.create_task(queue.work(work.reconcile)) for _ in range(workers)]


def a_queue() -> WorkQueue:
    return WorkQueue(asyncio.get_running_loop().time, Random(1), FAST)


async def test_workers_share_the_keys():
    queue, work = a_queue(), Work()
    tasks = await run(queue, work)
    for number in range(100):
        queue.add(f"k{number}")
        queue.add(f"k{number}")

    await until(lambda: len(set(work.seen)) == 100)
    for task in tasks:
        task.cancel()
    assert len(work.seen) <= 200


@pytest.mark.parametrize("error", [ApiError("away"), ValueError("a mistake of ours")])
async def test_a_key_that_fails_is_tried_again_and_others_go_on(error: Exception):
    queue, work = a_queue(), Work()
    work.broken["bad"] = error
    (task,) = await run(queue, work, workers=1)
    queue.add("bad")
    queue.add("good")

    await until(lambda: work.seen.count("bad") >= 3 and "good" in work.seen)
    del work.broken["bad"]
    await until(lambda: "bad" not in queue.failing)

    task.cancel()


async def test_a_key_comes_back_when_it_asks_for_it():
    queue, work = a_queue(), Work()
    work.again_s["a"] = 0.01
    (task,) = await run(queue, work, workers=1)
    queue.add("a")

    await until(lambda: work.seen == ["a", "a"])
    task.cancel()


async def test_a_server_that_asks_for_patience_gets_it():
    queue, work = a_queue(), Work()
    work.broken["a"] = ApiError("too many requests", 429, retry_after_s=3600)
    (task,) = await run(queue, work, workers=1)
    queue.add("a")
    queue.add("b")

    await until(lambda: "b" in work.seen)
    await asyncio.sleep(0.05)
    assert 1 == work.seen.count("a")
    task.cancel()


async def test_attempts_and_keys_that_wait_are_counted():
    queue = WorkQueue(asyncio.get_running_loop().time, Random(1), Backoff(first_s=3600, cap_s=3600))
    for key in ("good", "bad"):
        queue.add(key)
    assert 2 == len(queue)

    async def reconcile(key: Key) -> None:
        if key == "bad":
            raise ApiError("no")

    working = asyncio.create_task(queue.work(reconcile))
    await until(lambda: queue.attempts.failed == 1)
    working.cancel()

    assert (1, {"bad": 1}, 1) == (queue.attempts.done, queue.failing, len(queue))
    queue.clear()
    assert (1, {}, 0) == (queue.attempts.done, queue.failing, len(queue))
