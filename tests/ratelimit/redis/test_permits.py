from ratelimit.redis.permits import Permits

U = ("u",)


def test_permits_are_renewed_as_they_are_and_a_user_without_any_is_renewed_once_more():
    permits = Permits()
    permits.take(U)
    list(permits.renewals())
    permits.take(U)

    assert [(U, 2)] == list(permits.renewals())
    permits.give_back(U)
    permits.give_back(U)
    assert 0 == permits[U]
    assert [(U, 0)] == list(permits.renewals())
    assert [] == list(permits.renewals())


def test_while_a_reserve_is_on_its_way_redis_keeps_the_number_it_has():
    permits = Permits()
    assert not permits.ask(U)
    permits.take(U)
    assert [(U, None)] == list(permits.renewals())  # another first one may have been asked for
    assert permits.ask(U)
    assert permits.ask(U)

    permits.answered(U)
    assert [(U, None)] == list(permits.renewals())
    permits.answered(U)
    assert [(U, 1)] == list(permits.renewals())


def test_a_user_without_permits_is_kept_while_a_reserve_is_on_its_way():
    permits = Permits()
    permits.take(U)
    permits.ask(U)
    permits.give_back(U)

    assert [(U, None)] == list(permits.renewals())
    permits.answered(U)
    assert [(U, 0)] == list(permits.renewals())
