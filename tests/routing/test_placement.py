"""Placement of adapters: even while engines come and go, within what engines take, by the policy that is asked for."""

from collections import Counter
from random import Random

import pytest

from routing.placement import Ask, Host, Policy, place, policy_of

HOSTS = ("a", "b", "c", "d")


def spread(asks: list[Ask], hosts: list[Host]) -> dict[str, tuple[str, ...]]:
    return dict(place(asks, hosts, Random(1)))


def many(count: int, placed: dict[str, tuple[str, ...]], hosts: tuple[str, ...]) -> list[Ask]:
    return [Ask(f"l{n}", 1, hosts, placed.get(f"l{n}", ())) for n in range(count)]


def counts(placed: dict[str, tuple[str, ...]]) -> list[int]:
    return sorted(Counter(host for hosts in placed.values() for host in hosts).values())


def settled(count: int, placed: dict[str, tuple[str, ...]], hosts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Place again and again, each move done, until nothing moves any more."""
    while (after := spread(many(count, placed, hosts), [Host(name) for name in hosts])) != placed:
        placed = after
    return placed


def test_ten_adapters_over_four_engines_stay_even_while_engines_come_and_go():
    placed = settled(10, {}, HOSTS)
    assert [2, 2, 3, 3] == counts(placed)

    fewer = settled(10, placed, HOSTS[:3])
    assert [3, 3, 4] == counts(fewer)
    assert all(fewer[name] == hosts for name, hosts in placed.items() if hosts != ("d",))

    assert [2, 2, 3, 3] == counts(settled(10, fewer, HOSTS))


def test_one_adapter_moves_at_a_time():
    placed = {f"l{n}": ("a",) for n in range(6)}

    after = spread(many(6, placed, ("a", "b")), [Host("a"), Host("b")])

    assert 1 == sum(after[name] != hosts for name, hosts in placed.items())


def test_an_adapter_stays_where_it_is_loaded():
    assert {"l": ("b",)} == spread([Ask("l", 1, ("a", "b"), ("b",))], [Host("a"), Host("b")])


def test_replicas_are_on_different_engines():
    hosts = [Host(name) for name in HOSTS]

    placed = spread([Ask("two", 2, HOSTS), Ask("five", 5, HOSTS)], hosts)

    assert [2, 4] == [len(set(placed[name])) for name in ("two", "five")]
    assert ("a",) == spread([Ask("l", 1, HOSTS, ("a", "b"))], hosts)["l"]


def test_engines_whose_slots_are_taken_come_last():
    hosts = [Host("a", slots=4), Host("b", slots=1)]
    pack = [Ask(f"l{n}", 1, ("a", "b"), (), Policy.BIN_PACK) for n in range(7)]

    placed = spread(many(5, {}, ("a", "b")), hosts)

    assert [1, 4] == counts(placed)
    assert placed == spread(many(5, placed, ("a", "b")), hosts)
    assert 7 == sum(counts(spread(pack, hosts)))


def test_engines_that_all_swap_are_evened_out():
    hosts = [Host("a", slots=1), Host("b", slots=1)]
    placed = {f"l{n}": ("a",) for n in range(4)}

    for _ in range(3):
        placed = dict(place(many(4, placed, ("a", "b")), hosts, Random(1)))

    assert [2, 2] == counts(placed)


def test_only_engines_that_may_are_chosen():
    asks = [Ask("x", 1, ("b",)), Ask("y", 1, ()), Ask("z", 1, ("gone",), ("gone",))]

    assert {"x": ("b",), "y": (), "z": ()} == spread(asks, [Host("a"), Host("b")])


@pytest.mark.parametrize(
    ("policy", "chosen"), [(Policy.BIN_PACK, "a"), (Policy.LEAST_LATENCY, "b"), (Policy.LEAST_THROUGHPUT, "c")]
)
def test_each_policy_has_the_least_of_something(policy: Policy, chosen: str):
    hosts = [Host("a"), Host("b", latency_s=0.1), Host("c", latency_s=0.2, tokens_per_s=5.0), Host("d", None, 0.3, 9.0)]

    placed = spread([Ask("here", 1, ("a",), ("a",)), Ask("new", 1, HOSTS, (), policy)], hosts)

    assert (chosen,) == placed["new"]


def test_random_reaches_every_engine():
    asks = [Ask("l", 1, HOSTS, (), Policy.RANDOM)]

    assert set(HOSTS) == {place(asks, [Host(name) for name in HOSTS], Random(n))["l"][0] for n in range(50)}


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("default", Policy.LEAST_ADAPTERS), ("", Policy.LEAST_ADAPTERS), ("leastAdapters", Policy.LEAST_ADAPTERS),
        ("least-adapters", Policy.LEAST_ADAPTERS), ("binPack", Policy.BIN_PACK), ("bin-pack", Policy.BIN_PACK),
        ("least-latency", Policy.LEAST_LATENCY), ("nearest", None),
    ],
)  # fmt: skip
def test_policies_have_aibrixs_names_and_ours(name: str, policy: Policy | None):
    assert policy is policy_of(name)
