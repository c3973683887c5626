import pytest

from ratelimit.kinds import RPM, RPS, TPM, Amounts
from ratelimit.limits import Admitted, Quota, Refused, Reservation, User
from ratelimit.window import SECOND, Window, leaves_in_s, quotas, refused

T = 1_700_000_000.0


def reserve(window: Window, user: User, tokens: int, now_s: float) -> Admitted | Refused:
    amounts = Amounts(1, tokens)
    obstacles = window.obstacles(user.window, amounts, now_s)
    if obstacles:
        return refused(obstacles, quotas(user.window, window.read(now_s)), None)
    slot = window.take(amounts, now_s)
    return Admitted(Reservation(user.name, slot, amounts), quotas(user.window, window.read(now_s)))


def admit(window: Window, user: User, tokens: int, now_s: float) -> Admitted:
    verdict = reserve(window, user, tokens, now_s)
    assert isinstance(verdict, Admitted), verdict
    return verdict


def refuse(window: Window, user: User, tokens: int, now_s: float) -> Refused:
    verdict = reserve(window, user, tokens, now_s)
    assert isinstance(verdict, Refused), verdict
    return verdict


def test_a_verdict_includes_the_charge_and_says_when_all_of_it_has_left():
    window = Window()
    admit(window, User("u", 10, 100), 30, T)

    verdict = admit(window, User("u", 10, 100), 5, T + 3.25)

    assert Quota(10, 2, 60.0) == verdict.quotas[RPM]
    assert Quota(100, 35, 60.0) == verdict.quotas[TPM]
    assert 65 == verdict.quotas[TPM].remaining


def test_nothing_used_resets_in_no_time():
    verdict = admit(Window(), User("u", 10, 100), 0, T)

    assert Quota(100, 0, 0.0) == verdict.quotas[TPM]


def test_tokens_reset_by_the_newest_slot_that_holds_tokens():
    window = Window()
    admit(window, User("u", 10, 100), 30, T)

    verdict = admit(window, User("u", 10, 100), 0, T + 10)

    assert (60.0, 50.0) == (verdict.quotas[RPM].reset_s, verdict.quotas[TPM].reset_s)


def test_a_charge_counts_until_the_last_one_of_its_second_has_left_the_window():
    window, user = Window(), User("u", rpm=2)
    admit(window, user, 0, T + 0.25)
    admit(window, user, 0, T + 0.5)

    still = refuse(window, user, 0, T + 60.4375)

    assert 0.0625 == still.retry_after_s
    admit(window, user, 0, T + 60.5)
    admit(window, user, 0, T + 60.5)


@pytest.mark.parametrize("at_s", [T, T + 0.015625, T + 0.5, T + 0.984375])
def test_no_wait_is_longer_than_the_window(at_s):
    window, user = Window(), User("u", rpm=1, tpm=10)
    admit(window, user, 5, at_s)

    verdict = refuse(window, user, 5, at_s)

    assert (60.0, 60.0) == (verdict.retry_after_s, verdict.quotas[TPM].reset_s)
    refuse(window, user, 5, at_s + 59.984375)
    admit(window, user, 5, at_s + 60)


def test_the_burst_at_the_edge_of_a_fixed_window_is_refused():
    window, user = Window(), User("u", rpm=100)
    edge = T - T % 60 + 60
    before = [reserve(window, user, 1, edge - 0.01) for _ in range(100)]

    after = [reserve(window, user, 1, edge + 0.01) for _ in range(100)]

    assert all(isinstance(verdict, Admitted) for verdict in before)
    assert all(isinstance(verdict, Refused) for verdict in after)


def test_retry_after_is_when_exactly_enough_has_left():
    window, user = Window(), User("u", tpm=100)
    for second, tokens in enumerate((40, 30, 30)):
        admit(window, user, tokens, T + second)

    assert 57.5 == refuse(window, user, 40, T + 2.5).retry_after_s
    assert 58.5 == refuse(window, user, 41, T + 2.5).retry_after_s
    assert 59.5 == refuse(window, user, 100, T + 2.5).retry_after_s
    refuse(window, user, 41, T + 60.5)
    admit(window, user, 41, T + 61)


def test_what_never_fits_is_refused_without_a_time():
    assert None is refuse(Window(), User("u", rpm=0), 1, T).retry_after_s
    assert None is refuse(Window(), User("u", tpm=0), 0, T).retry_after_s
    assert None is refuse(Window(), User("u", tpm=10), 11, T).retry_after_s


def test_the_limit_with_the_longer_wait_is_named():
    window, user = Window(), User("u", rpm=2, tpm=100)
    admit(window, user, 10, T)
    admit(window, user, 90, T + 5)

    tokens_later = refuse(window, user, 50, T + 6)
    tie = refuse(window, user, 10, T + 6)
    never = refuse(window, user, 101, T + 6)

    assert (TPM, 100, 59.0) == (tokens_later.kind, tokens_later.limit, tokens_later.retry_after_s)
    assert (RPM, 2, 54.0) == (tie.kind, tie.limit, tie.retry_after_s)
    assert (TPM, None) == (never.kind, never.retry_after_s)


def test_no_limit_counts_without_refusing():
    window = Window()

    verdicts = [admit(window, User("u"), 10**9, T) for _ in range(3)]

    assert Quota(None, 3 * 10**9, 60.0) == verdicts[-1].quotas[TPM]
    assert None is verdicts[-1].quotas[RPM].remaining


def test_a_clock_that_steps_back_forgives_nothing():
    window, user = Window(), User("u", rpm=1)
    admit(window, user, 0, T)
    admit(window, user, 0, T + 61)

    verdict = refuse(window, user, 0, T - 1000)

    assert 60.0 == verdict.retry_after_s


def test_a_charge_after_the_clock_has_stepped_back_belongs_to_the_newest_slot():
    window = Window()
    newest = window.take(Amounts(1, 5), T)

    assert newest == window.take(Amounts(1, 7), T - 30)
    assert Amounts(2, 12) == window.read(T + 59).used
    assert Amounts(0, 0) == window.read(T + 60).used


def test_settling_replaces_the_reserved_tokens_and_never_goes_below_zero():
    window, user = Window(), User("u", tpm=100)
    slot = admit(window, user, 60, T).reservation.slot

    window.settle(slot, Amounts(0, 15 - 60))
    assert Amounts(1, 15) == window.read(T).used
    window.settle(slot, Amounts(0, -60))

    assert Amounts(1, 0) == window.read(T).used


def test_settling_a_slot_that_has_left_changes_nothing():
    window, user = Window(), User("u", tpm=100)
    slot = admit(window, user, 60, T).reservation.slot
    admit(window, user, 10, T + 61)

    window.settle(slot, Amounts(0, -60))

    assert Amounts(1, 10) == window.read(T + 61).used


def test_settling_above_the_reservation_is_charged_and_waited_for():
    window, user = Window(), User("u", tpm=100)
    slot = admit(window, user, 10, T).reservation.slot
    window.settle(slot, Amounts(0, 490))

    verdict = refuse(window, user, 1, T)

    assert (0, 60.0) == (verdict.quotas[TPM].remaining, verdict.retry_after_s)


def test_limits_up_to_two_to_the_53_are_exact():
    window, user = Window(), User("u", tpm=2**53)
    admit(window, user, 2**53 - 1, T)
    admit(window, user, 1, T)

    assert 2**53 == window.read(T).used.tokens
    refuse(window, user, 1, T)


def test_given_back_requests_make_room_and_the_reset_is_of_those_that_are_left():
    window, user = Window(), User("u", rpm=2)
    admit(window, user, 5, T)
    slot = admit(window, user, 5, T + 10).reservation.slot
    window.settle(slot, Amounts(-1, -5))

    assert Amounts(1, 5) == window.read(T + 10).used
    assert 50.0 == quotas(user.window, window.read(T + 10))[RPM].reset_s
    admit(window, user, 5, T + 10)


def test_a_second_is_cut_into_twentieths():
    window, limits, one = Window(SECOND), {RPS: 2}, Amounts(1, 0)
    window.take(one, T + 0.0625)
    window.take(one, T + 0.5)

    (obstacle,) = window.obstacles(limits, one, T + 0.5)

    assert (RPS, 2, 0.5625) == obstacle == (RPS, 2, leaves_in_s(T + 0.0625, T + 0.5, SECOND))
    assert [] == window.obstacles(limits, one, T + 1.0625)
