"""The pools of a model: which takes a request, and how long something stays in a later one."""

from collections.abc import Sequence
from math import inf

from gateway.discovery.probing.readings import Readings
from gateway.fleet.pod import Pod
from routing.prefix.index import PrefixIndex
from routing.spill import MAX_SESSIONS, Spill, SpillRule
from routing.types import RouteRequest, Signal, Slo
from tests.support.choosing import REQUEST, asking_for
from tests.support.pods import a_pod

RULE = SpillRule(max_in_flight=4, free_share=0.75, hold_s=5)


def pods(own: int, cloud: int, *, index: PrefixIndex | None = None) -> list[Pod]:
    """Pods `own` and `cloud` of one pool each, with so many requests in flight."""
    index = index or PrefixIndex()
    return [
        a_pod(name, in_flight, index=index, pool=name, pool_priority=rank)
        for rank, (name, in_flight) in enumerate((("own", own), ("cloud", cloud)))
    ]


def order(spill: Spill, some: Sequence[Pod], request: RouteRequest = REQUEST, now_s: float = 0.0) -> list[list[str]]:
    """The pods with room of each pool, in the order in which the pools are tried."""
    return [[pod.endpoint.id for pod in pool] for pool in spill.with_room(some, request, now_s)]


def report(pod: Pod, now_s: float = 0.0, **signals: float) -> None:
    """Have the engine report gauges."""
    pod.apply_readings(Readings({Signal[name.upper()]: value for name, value in signals.items()}), now_s, inf)


def test_the_first_pool_is_tried_first_and_only_its_pods_with_room() -> None:
    own, cloud = pods(3, 0)
    busy = a_pod("busy", 4, pool="own", pool_priority=0)

    assert [["own"], ["cloud"]] == order(Spill({0: RULE, 1: RULE}), [busy, cloud, own])


def test_a_full_pool_is_left_out_and_when_all_are_nothing_is_left() -> None:
    assert [["cloud"]] == order(Spill({0: RULE, 1: RULE}), pods(4, 3))
    assert [] == order(Spill({0: RULE, 1: RULE}), pods(4, 4))
    assert [["cloud"]] == order(Spill({0: RULE}), pods(4, 1000))  # a pool without a rule takes any number


def test_pools_without_a_rule_are_full_by_their_engines_gauges() -> None:
    own, cloud = some = pods(9, 0)
    spill = Spill({})

    assert [["own"], ["cloud"]] == order(spill, some)
    report(own, waiting=4)  # they came between two steps of the engine
    assert [["own"], ["cloud"]] == order(spill, some)
    report(own, waiting=5)
    assert [["cloud"]] == order(spill, some)
    report(own, waiting=0, kv_usage=0.91)
    assert [["cloud"]] == order(spill, some)
    report(cloud, kv_usage=0.95)
    assert [] == order(spill, some)


def test_a_pod_that_was_full_by_its_gauges_takes_more_only_when_they_have_fallen() -> None:
    own, _ = some = pods(0, 0)
    spill = Spill({})
    seen = []
    for used in (0.89, 0.9, 0.8, 0.68, 0.67, 0.8, 0.9):
        report(own, kv_usage=used)
        seen.append(len(order(spill, some)))

    assert [2, 1, 1, 1, 2, 2, 1] == seen


def test_gauges_that_are_stale_or_missing_fill_no_pool() -> None:
    own, _ = some = pods(0, 0)
    own.apply_readings(Readings({Signal.WAITING: 9.0}), 0.0, fresh_until_s=1.0)

    assert [1, 2] == [len(order(Spill({}), some, now_s=now_s)) for now_s in (1.0, 1.1)]


def test_a_session_stays_in_the_cloud_until_home_has_been_free_for_the_hold_time() -> None:
    own, cloud = some = pods(4, 0)
    spill, session = Spill({0: RULE, 1: RULE}), REQUEST._replace(session="s")
    assert [["cloud"]] == order(spill, some, session, 10.0)
    spill.sent(1, session)

    own.in_flight, cloud.in_flight = 3, 1  # 4 of 4 in all: there is room at home, and yet none to spare
    assert [["cloud"], ["own"]] == order(spill, some, session, 11.0)
    assert [["own"], ["cloud"]] == order(spill, some, REQUEST, 11.0)  # what has nothing there goes home at once

    own.in_flight = 2
    assert [["cloud"], ["own"]] == order(spill, some, session, 15.9)
    assert [["own"], ["cloud"]] == order(spill, some, session, 16.0)
    assert [["own"], ["cloud"]] == order(spill, some, session, 16.1)


def test_no_session_flaps_while_home_could_not_take_what_is_in_the_cloud() -> None:
    spill, session = Spill({0: RULE}), REQUEST._replace(session="s")
    some = pods(4, 6)
    order(spill, some, session)
    spill.sent(1, session)
    some[0].in_flight = 1

    pools = [order(spill, some, session, float(now_s))[0] for now_s in range(100)]

    assert [["cloud"]] * 100 == pools


def test_a_session_leaves_a_full_cloud_for_home() -> None:
    own, cloud = some = pods(4, 0)
    spill, session = Spill({0: RULE, 1: RULE}), REQUEST._replace(session="s")
    order(spill, some, session)
    spill.sent(1, session)

    own.in_flight, cloud.in_flight = 3, 4

    assert [["own"]] == order(spill, some, session)


def test_a_prompt_that_the_cloud_has_cached_stays_there_only_while_spilling() -> None:
    index = PrefixIndex()
    own, cloud = some = pods(4, 0, index=index)
    blocks = range(1, 9)
    cloud.cache.insert(blocks, 0, 0.0)
    request, spill = asking_for(some, blocks), Spill({0: RULE})
    order(spill, some)

    own.in_flight = 1
    assert [["cloud"], ["own"]] == order(spill, some, request, 1.0)
    assert [["own"], ["cloud"]] == order(spill, some, request, 6.0)

    own.in_flight = 4
    order(spill, some)
    own.cache.insert(blocks, 0, 0.0)
    own.in_flight = 1
    assert [["own"], ["cloud"]] == order(spill, some, asking_for(some, blocks), 1.0)  # home has it as well


def test_of_three_pools_the_second_is_used_before_the_third() -> None:
    third = a_pod("third", 0, pool="third", pool_priority=7)
    rules = {0: RULE, 1: RULE, 7: RULE}

    assert [["own"], ["cloud"], ["third"]] == order(Spill(rules), [third, *pods(0, 0)])
    assert [["cloud"], ["third"]] == order(Spill(rules), [third, *pods(4, 0)])
    assert [["third"]] == order(Spill(rules), [third, *pods(4, 4)])


def test_without_the_first_pool_nothing_is_held_and_back_home_everything_goes() -> None:
    own, cloud = pods(0, 0)
    spill, session = Spill({0: RULE, 1: RULE}), REQUEST._replace(session="s")
    assert [["cloud"]] == order(spill, [cloud], session)  # all of the first are gone
    spill.sent(1, session)

    assert [["own"], ["cloud"]] == order(spill, [own, cloud], session, 0.1)


def test_a_request_that_may_go_to_one_pool_alone_sends_no_session_of_others_home() -> None:
    own, cloud = some = pods(4, 0)
    spill, session = Spill({0: RULE, 1: RULE}), REQUEST._replace(session="s")
    order(spill, some, session)
    spill.sent(1, session)
    own.in_flight = 3

    assert [["own"]] == order(spill, [own], REQUEST._replace(session="another"), 1.0)
    assert [["cloud"]] == order(spill, [cloud], REQUEST._replace(session="another"), 1.0)

    assert [["cloud"], ["own"]] == order(spill, some, session, 1.0)


def test_a_pod_that_is_gone_is_not_remembered_as_full() -> None:
    some = pods(0, 0)
    spill = Spill({})
    for pod in some:
        report(pod, kv_usage=0.95)
    order(spill, some)
    spill.keep({"cloud"})
    for pod in some:
        report(pod, kv_usage=0.8)

    assert [["own"]] == order(spill, some)


def test_a_pool_that_could_keep_no_promise_is_held_to_be_busy() -> None:
    some = pods(0, 0)
    spill, session = Spill({}), REQUEST._replace(session="s")
    order(spill, some, session)
    spill.refused(0, 0.0)
    spill.sent(1, session)

    assert [["cloud"], ["own"]] == order(spill, some, session, 4.9)
    assert [["own"], ["cloud"]] == order(spill, some, session, 5.0)


def test_promises_have_a_margin_until_all_pools_are_so_full() -> None:
    some, rules = pods(0, 0), {0: RULE._replace(promise_share=0.25)}
    promised = REQUEST._replace(slo=Slo(2.0, 0.05))

    tried = [(each[0].endpoint.id, request.slo) for each, request in Spill(rules).attempts(some, promised, 0.0)]

    shares = [("own", 0.5), ("cloud", 1.0), ("own", 2.0), ("cloud", 2.0)]
    assert [(name, Slo(ttft_s, 0.05)) for name, ttft_s in shares] == tried
    assert [promised] == [request for _, request in Spill(rules).attempts(some[:1], promised, 0.0)]
    assert [REQUEST] * 2 == [request for _, request in Spill(rules).attempts(some, REQUEST, 0.0)]


def test_a_busy_pool_that_is_the_only_one_left_is_tried_all_the_same() -> None:
    own, _ = pods(0, 0)
    spill = Spill({0: RULE})
    spill.refused(0, 0.0)

    assert [["own"]] == order(spill, [own], REQUEST._replace(session="s", blocks=(1,)), 1.0)


def test_sessions_that_are_remembered_are_bounded() -> None:
    spill = Spill({0: RULE})
    for number in range(MAX_SESSIONS + 5):
        spill.sent(1, REQUEST._replace(session=str(number)))

    assert MAX_SESSIONS == len(spill._sessions)
    assert "0" not in spill._sessions
