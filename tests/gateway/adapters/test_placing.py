"""Adapters placed by pods and records."""

from random import Random
from typing import Any

from gateway.adapters.placing import Adapter, Pods, Wish
from gateway.adapters.records import State, Wanted
from gateway.fleet.pod import Pod
from tests.support.pods import a_pod

AD = Wanted("ad", "m", "/ad")


def listing(name: str, *adapters: str, **fields: Any) -> Pod:
    return a_pod(name, models=("m", *adapters), lists_adapters=True, **fields)


def wish_of(one: Wanted, *pods: Pod, at: tuple[str, ...] = (), failing: tuple[str, ...] = ()) -> Wish:
    states = {one.name: State("", at)}
    return Pods(pods).wishes({one.name: one}, states, {(one.name, pod) for pod in failing}, Random(1))[one.name]


def test_only_pods_that_list_their_adapters_count_and_none_that_are_gone():
    gone = listing("b", "ad")
    gone.gone = True
    pods = Pods([listing("a"), gone, a_pod("c"), listing("d", "ad", engine="other")])

    assert (["a"], []) == ([pod.endpoint.id for pod in pods.of_model("m")], pods.having("ad"))


def test_adapters_are_those_that_are_listed_and_those_that_are_wanted():
    pods = Pods([listing("a", "x"), listing("b", "x", "ad"), a_pod("c", models=("m", "fixed"))])
    wanted = {"ad": AD, "new": Wanted("new", "m", "/new")}

    assert [Adapter("ad", "m", ("b",)), Adapter("new", "m", ()), Adapter("x", "m", ("a", "b"))] == pods.adapters(wanted)


def test_an_adapter_goes_to_the_pods_with_the_fewest_whoever_asked_for_those():
    assert Wish(("b",), ("b",)) == wish_of(AD, listing("a", "x"), listing("b"))
    assert Wish(("a",)) == wish_of(AD, listing("a", "ad"), listing("b"))


def test_one_that_an_engine_lost_is_lacking_where_it_was():
    assert Wish(("b",), ("b",)) == wish_of(AD, listing("a"), listing("b"), at=("b",))


def test_one_whose_pod_is_not_ready_goes_elsewhere_and_leaves_once_it_is_there():
    away = listing("a", "ad")
    away.set_health(False)

    assert Wish(("b",), ("b",)) == wish_of(AD, away, listing("b"), at=("a",))
    assert Wish(("b",), (), ("a",)) == wish_of(AD, away, listing("b", "ad"), at=("b",))
    assert Wish() == wish_of(AD, away, at=("a",))


def test_a_pod_on_which_it_failed_is_left_out_while_there_are_others():
    assert ("b",) == wish_of(AD, listing("a"), listing("b", "x", "y"), at=("a",), failing=("a",)).placed
    assert ("a",) == wish_of(AD, listing("a"), failing=("a",)).placed


def test_where_it_moves_it_is_served_until_it_is_there():
    many = listing("a", "ad", "x", "y")

    assert Wish(("b",), ("b",)) == wish_of(AD, many, listing("b"), at=("a",))
    assert Wish(("b",), (), ("a",)) == wish_of(AD, many, listing("b", "ad"), at=("b",))
