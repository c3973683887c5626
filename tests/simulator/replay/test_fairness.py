from simulator.replay.fairness import ServiceDifference, service_difference
from tests.support.fleet_replay import a_request, replayed
from tests.support.model_engine import an_engine


def gap(*trace, **fields):
    return service_difference(replayed(*trace, engines={"pod-0": an_engine(**fields)}))


def test_one_user_alone_is_not_compared():
    assert None is gap(a_request(user="a"), a_request(user="a"))


def test_users_who_get_what_they_request_have_no_difference():
    assert ServiceDifference(0.0, 0.0) == gap(a_request(user="a", output=9), a_request(user="b", output=2))


def test_a_user_who_waits_while_another_is_served_falls_behind_by_what_they_requested():
    late_ms = 3_600_000  # windows begin with the trace's first request
    trace = [a_request(late_ms, output=70, user="a"), a_request(late_ms + 10, output=2, user="b")]

    # one at a time: b gets 8 + 2 x 2 in the second minute; a got 8 in the first
    assert ServiceDifference(4.0, 8.0) == gap(*trace, max_running=1)


def test_what_was_refused_is_not_waited_for():
    assert None is gap(a_request(user="a"), a_request(user="b", prompt=999))
