from ratelimit.redis.permits import Permits


def test_permits_are_renewed_as_they_are_and_a_user_without_any_is_renewed_once_more():
    permits = Permits()
    permits.take("u")
    list(permits.renewals())
    permits.take("u")

    assert [("u", 2)] == list(permits.renewals())
    permits.give_back("u")
    permits.give_back("u")
    assert 0 == permits["u"]
    assert [("u", 0)] == list(permits.renewals())
    assert [] == list(permits.renewals())


def test_while_a_reserve_is_on_its_way_redis_keeps_the_number_it_has():
    permits = Permits()
    assert not permits.ask("u")
    permits.take("u")
    assert [("u", None)] == list(permits.renewals())  # another first one may have been asked for
    assert permits.ask("u")
    assert permits.ask("u")

    permits.answered("u")
    assert [("u", None)] == list(permits.renewals())
    permits.answered("u")
    assert [("u", 1)] == list(permits.renewals())


def test_a_user_without_permits_is_kept_while_a_reserve_is_on_its_way():
    permits = Permits()
    permits.take("u")
    permits.ask("u")
    permits.give_back("u")

    assert [("u", None)] == list(permits.renewals())
    permits.answered("u")
    assert [("u", 0)] == list(permits.renewals())
