"""The replicas that are there: leases, gaps in what siblings said, and an order that all agree on."""

from gateway.sharing.replicas import ASK_AGAIN_S, LEASE_S, MAX_SIBLINGS, Hearing, Replicas

NEWS = Hearing(is_new=True, has_joined=False, asks=False)
NOTHING = Hearing(is_new=False, has_joined=False, asks=False)


def test_a_replica_alone_is_the_first_of_one():
    replicas = Replicas("b")

    assert (1, 0, True) == (len(replicas), replicas.rank, replicas.is_alive("b"))
    assert [] == replicas.expire(1e9)


def test_a_sibling_heard_from_its_first_message_on_is_complete():
    replicas = Replicas("b")

    assert Hearing(is_new=True, has_joined=True, asks=False) == replicas.hear("a", 1, 0.0)
    assert NEWS == replicas.hear("a", 2, 0.1)
    assert (2, 1) == (len(replicas), replicas.rank)


def test_a_sibling_heard_later_is_asked_for_everything_until_it_has_told_it():
    replicas = Replicas("b")

    assert Hearing(is_new=True, has_joined=True, asks=True) == replicas.hear("a", 7, 0.0)
    assert NEWS == replicas.hear("a", 8, ASK_AGAIN_S / 2)
    assert Hearing(is_new=True, has_joined=False, asks=True) == replicas.hear("a", 9, ASK_AGAIN_S)
    assert NEWS == replicas.hear("a", 9, ASK_AGAIN_S, everything=True)
    assert NEWS == replicas.hear("a", 10, 3 * ASK_AGAIN_S)


def test_a_lost_message_is_noticed_at_the_next_one():
    replicas = Replicas("b")
    replicas.hear("a", 1, 0.0)

    assert Hearing(is_new=True, has_joined=False, asks=True) == replicas.hear("a", 3, 0.1)


def test_a_message_that_comes_twice_or_late_is_no_news():
    replicas = Replicas("b")
    replicas.hear("a", 1, 0.0)
    replicas.hear("a", 2, 0.1)

    assert [NOTHING, NOTHING] == [replicas.hear("a", serial, 0.2) for serial in (2, 1)]
    assert NOTHING == replicas.hear("a", 1, 0.2, everything=True)


def test_a_silent_sibling_is_forgotten_and_one_that_speaks_is_not():
    replicas = Replicas("b")
    replicas.hear("a", 1, 0.0)
    replicas.hear("c", 1, 0.0)
    replicas.hear("c", 2, LEASE_S)

    assert [] == replicas.expire(LEASE_S)
    assert ["a"] == replicas.expire(LEASE_S + 0.1)
    assert (2, 0) == (len(replicas), replicas.rank)
    assert [False, True] == [replicas.is_alive(name) for name in ("a", "c")]


def test_a_sibling_that_comes_back_is_a_new_one_that_missed_something():
    replicas = Replicas("b")
    replicas.hear("a", 1, 0.0)
    replicas.expire(LEASE_S + 0.1)

    assert Hearing(is_new=True, has_joined=True, asks=True) == replicas.hear("a", 2, 5.0)


def test_names_that_somebody_makes_up_are_not_remembered_without_end():
    replicas = Replicas("b")
    for number in range(2 * MAX_SIBLINGS):
        replicas.hear(f"made up {number}", 1, 0.0)

    assert 1 + MAX_SIBLINGS == len(replicas)
    assert NEWS == replicas.hear("made up 0", 2, 0.1)


def test_replicas_that_know_each_other_agree_on_the_order():
    names = ["c", "a", "d", "b"]
    replicas = {name: Replicas(name) for name in names}
    for name, seen in replicas.items():
        for other in names:
            if other != name:
                seen.hear(other, 1, 0.0)

    assert {"a": 0, "b": 1, "c": 2, "d": 3} == {name: seen.rank for name, seen in replicas.items()}


def test_the_page_tells_who_was_heard_when():
    replicas = Replicas("b")
    replicas.hear("a", 3, 1.0)

    assert [{"replica": "a", "heard_s_ago": 0.5, "messages": 3, "complete": False}] == replicas.page(1.5)
