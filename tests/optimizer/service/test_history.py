"""The memory of a day."""

from optimizer.service.history import KEPT_S, MOST, History, Moment


def at(second: float) -> Moment:
    return Moment(second, 1.0, {"default/d": 2}, 3.0, 0.0)


def test_moments_are_kept_for_a_day():
    history = History()
    for second in (0.0, 100.0, KEPT_S, KEPT_S + 50.0):
        history.add(at(second))

    assert [100.0, KEPT_S, KEPT_S + 50.0] == [moment.at_s for moment in history]


def test_decisions_in_quick_succession_do_not_push_the_day_out():
    history = History()
    for second in range(86_400):
        history.add(at(float(second)))
    times = [moment.at_s for moment in history]

    assert len(times) <= MOST
    assert 0.0 == times[0]
    assert 86_399.0 == times[-1]


def test_a_moment_is_json():
    history = History()
    history.add(at(5.0))

    assert [{"at_s": 5.0, "rate": 1.0, "replicas": {"default/d": 2}, "cost": 3.0, "unserved": 0.0}] == history.page()
