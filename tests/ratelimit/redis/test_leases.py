from ratelimit.redis.leases import Leases


def test_places_are_renewed_as_they_are_and_forgotten_once_told_that_there_are_none():
    leases = Leases()
    leases.took("u")
    list(leases.renewals())
    leases.took("u")

    assert [("u", 2)] == list(leases.renewals())
    leases.gave_back("u")
    leases.gave_back("u")
    assert 0 == leases["u"]
    assert [("u", 0)] == list(leases.renewals())
    assert [] == list(leases.renewals())


def test_while_one_is_asked_for_nobody_knows_how_many_there_are():
    leases = Leases()
    assert not leases.ask("u")
    leases.took("u")
    assert [("u", None)] == list(leases.renewals())  # another first one may have been asked for
    assert leases.ask("u")
    assert leases.ask("u")

    leases.answered("u")
    assert [("u", None)] == list(leases.renewals())
    leases.answered("u")
    assert [("u", 1)] == list(leases.renewals())


def test_who_gave_everything_back_is_kept_while_one_is_asked_for():
    leases = Leases()
    leases.took("u")
    leases.ask("u")
    leases.gave_back("u")

    assert [("u", None)] == list(leases.renewals())
    leases.answered("u")
    assert [("u", 0)] == list(leases.renewals())
