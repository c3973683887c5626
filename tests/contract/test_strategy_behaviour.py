"""The purpose of each strategy: on a fleet of four unequal pods it picks the right ones, and chance would not."""

from collections.abc import Callable

import pytest

from routing.table import STRATEGIES
from tests.support.situations import NOW_S, PODS, PROMPT, Situation

MIXTURE = "least-request:2,prefix-cache"


def fewest_requests(now: Situation) -> set[str]:
    for pod in "aabbcc":
        now.send(pod, tokens=10)
    now.send("d", tokens=5000)
    return {"d"}


def fewest_tokens(now: Situation) -> set[str]:
    for pod in "abd":
        now.send(pod, tokens=5000)
    for _ in range(3):
        now.send("c", tokens=100)
    return {"c"}


def least_processed(now: Situation) -> set[str]:
    for pod in "acd":
        now.served(pod, tokens=5000)
    for _ in range(4):
        now.served("b", tokens=100)
    return {"b"}


def least_busy(now: Situation) -> set[str]:
    for pod in "abc":
        now.send(pod, at_s=NOW_S - 20)
    for _ in range(4):
        now.send("d", at_s=NOW_S - 10)
    return {"d"}


def lowest_latency(now: Situation) -> set[str]:
    for pod in PODS:
        now.served(pod, tokens=1000 if pod == "d" else 10, slower=0.1 if pod == "d" else 1.0)
    now.send("d")
    return {"d"}


def emptiest_cache(now: Situation) -> set[str]:
    for pod, usage in zip(PODS, (0.5, 0.6, 0.1, 0.4), strict=True):
        now.says(pod, kv_usage=usage)
    now.send("c", tokens=9000)
    return {"c"}


def shortest_queue(now: Situation) -> set[str]:
    for pod, running, waiting in (("a", 3, 0), ("b", 1, 1), ("c", 0, 3), ("d", 0, 4)):
        now.says(pod, running=running, waiting=waiting)
    for _ in range(3):
        now.send("b")
    return {"b"}


def longest_prefix(now: Situation) -> set[str]:
    now.served("a", blocks=PROMPT[:3])
    now.served("d", blocks=PROMPT[:9])
    now.send("d")
    now.request = now.request._replace(blocks=PROMPT, block_tokens=100.0)
    return {"d"}


def least_to_compute(now: Situation) -> set[str]:
    longest_prefix(now)
    now.send("a", tokens=100)
    return {"a"}


def fewest_of_the_heavy(now: Situation) -> set[str]:
    now.picks("vtc-basic", 1)  # it counts from its first use on
    now.served("a", tokens=9000, user="heavy")
    now.request = now.request._replace(user="heavy")
    return {"d"}


def home_of_the_session(now: Situation) -> set[str]:
    now.request = now.request._replace(session="mine")
    home = now.picks("session-affinity", 1)
    for pod in home:
        now.send(pod)
    return home


def never_the_fullest(now: Situation) -> set[str]:
    for pod in "abbcccdddd":
        now.send(pod)
    return {"a", "b", "c"}


def everywhere(now: Situation) -> set[str]:
    now.send("a")
    return set(PODS)


def soonest_first_token(now: Situation) -> set[str]:
    for tokens, output in [(100, 5), (3000, 1), (50, 40), (1000, 10), (2000, 5)] * 3:
        for pod in PODS:
            now.served(pod, tokens=tokens, output=output)
    now.send("a", tokens=200)  # 0.2 s to wait for: the next slower one would take a second more
    return {"a"}


def neither_alone(now: Situation) -> set[str]:
    now.served("b", blocks=PROMPT)
    now.served("c", blocks=PROMPT[:8])
    for pod in "bbbbbcddd":
        now.send(pod)
    now.request = now.request._replace(blocks=PROMPT, block_tokens=100.0)
    return {"c"}


def as_planned(now: Situation) -> set[str]:
    now.planned("d")
    now.send("d")
    return {"d"}


SITUATIONS: dict[str, Callable[[Situation], set[str]]] = {
    "forebay": soonest_first_token,
    "random": everywhere,
    "least-request": fewest_requests,
    "least-load": fewest_tokens,
    "throughput": least_processed,
    "least-busy-time": least_busy,
    "least-latency": lowest_latency,
    "least-kv-cache": emptiest_cache,
    "least-gpu-cache": emptiest_cache,
    "least-utilization": shortest_queue,
    "prefix-cache": longest_prefix,
    "prefix-cache-and-load": least_to_compute,
    "prefix-cache-preble": least_to_compute,
    "vtc-basic": fewest_of_the_heavy,
    "session-affinity": home_of_the_session,
    "power-of-two": never_the_fullest,
    "slo": as_planned,
    "slo-least-load": as_planned,
    "slo-pack-load": as_planned,
    MIXTURE: neither_alone,
}
"""Each makes the situation and returns who may be picked in it, all of whom are in 60 picks."""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SITUATIONS)
def test_it_picks_whom_it_is_meant_to_pick(name: str, seed: int) -> None:
    now = Situation(seed)
    expected = SITUATIONS[name](now)

    assert expected == now.picks(name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SITUATIONS)
def test_its_situation_tells_it_from_random_and_random_from_the_others(name: str, seed: int) -> None:
    now = Situation(seed)
    expected = SITUATIONS[name](now)

    assert expected != now.picks("least-request" if name == "random" else "random")


def test_every_strategy_has_a_situation() -> None:
    assert {*STRATEGIES, MIXTURE} == SITUATIONS.keys()
