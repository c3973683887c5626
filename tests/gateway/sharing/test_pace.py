"""The pace of messages: at once while they are few, spaced when they are many, and never held back while urgent."""

from gateway.sharing.pace import BURST, EXPECTED_S, Pace

INTERVAL_S = 0.05


def told(pace: Pace, seconds: float, *, every_s: float) -> int:
    """How many messages are sent when something changes so often."""
    sent = 0
    for step in range(round(seconds / every_s)):
        now_s = step * every_s
        if pace.next_s(now_s) <= now_s:
            pace.told(now_s)
            sent += 1
    return sent


def test_few_changes_are_told_at_once() -> None:
    assert 50 == told(Pace(INTERVAL_S), 5.0, every_s=0.1)


def test_many_changes_are_told_in_intervals_after_a_burst() -> None:
    assert 100 <= told(Pace(INTERVAL_S), 5.0, every_s=0.001) <= 100 + BURST + 1


def test_urgent_changes_are_never_held_back() -> None:
    pace = Pace(INTERVAL_S)
    pace.look(0.0, is_urgent=True)

    assert 100 == told(pace, EXPECTED_S / 2, every_s=0.005)


def test_after_an_urgent_time_the_next_message_is_an_interval_away_however_many_there_were() -> None:
    pace = Pace(INTERVAL_S)
    pace.look(0.0, is_urgent=True)
    told(pace, EXPECTED_S, every_s=0.001)

    assert pace.next_s(EXPECTED_S) <= EXPECTED_S + INTERVAL_S
