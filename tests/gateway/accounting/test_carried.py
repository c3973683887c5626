"""The reservation that a request carries to its access-log entry."""

import pytest

from gateway.accounting.carried import carried, carried_reservation
from ratelimit.kinds import GROUP, KEY, USER, Amounts
from ratelimit.limits import UNCOUNTED_SLOT, Reservation
from ratelimit.prices import FREE, Prices

ID = "0-0123456789ab-1"


@pytest.mark.parametrize("user", ["lgy", "two words", "0 1 2", "\u00fc-{x}", "a/b=c"])
@pytest.mark.parametrize("model", ["", "m", "org/model name"])
def test_a_reservation_is_read_as_it_was_written(user: str, model: str):
    reservation = Reservation(user, 1_800_000_000, Amounts(1, 266), model)

    fields = carried(ID, reservation)

    assert ID == fields["exchange"]
    assert (reservation, FREE) == carried_reservation(fields["reserved"])


def test_a_permit_is_not_carried_because_it_ends_with_the_lease_of_its_replica():
    held = Reservation("u", 1, Amounts(1, 2), permits=(USER,))
    assert (held._replace(permits=()), FREE) == carried_reservation(carried(ID, held)["reserved"])


@pytest.mark.parametrize(
    "reservation",
    [None, Reservation("u", UNCOUNTED_SLOT, Amounts(1, 2)), Reservation("u", 1, Amounts(1, 2), is_shared=False)],
)
def test_nothing_is_carried_that_nobody_else_could_settle(reservation: Reservation | None):
    assert {"exchange": ID} == carried(ID, reservation)


@pytest.mark.parametrize(
    ("held", "prices"),
    [
        (Reservation("u", 1, Amounts(1, 2), key="k"), FREE),
        (Reservation("u {", 1, Amounts(1, 2), "m", group="team"), FREE),
        (Reservation("u", 1, Amounts(1, 2), budgets=(USER, KEY, GROUP)), FREE),
        (Reservation("u", 1, Amounts(1, 2), is_hard=True), FREE),
        (Reservation("u", 1, Amounts(1, 2, 3)), Prices(0.5, 1.5, 0.1)),
    ],
)
def test_levels_budgets_bounds_and_prices_are_carried_where_there_are_any(held: Reservation, prices: Prices):
    fields = carried(ID, held._replace(permits=(USER,)), prices)

    assert (held, prices) == carried_reservation(fields["reserved"])


FOREIGN = (
    "{", "{}", '{"prices":[1]}', '{"user":"u","slot":1,"amounts":[1,2,3],"budgets":["x_"],"prices":[0,0,null]}',
    "", "1 1 1", "1 1 1 0 ", "1 1 1 1 m", "1 1 1 2 m", "1 1 1 u", "1 1 -1 0 u", "1 1 x 0 u", "1 1 1.5 0 u", "1  1 0 u",
    f"1 1 {2**53 + 1} 0 u", f"1 1 1 {'9' * 5000} u", "\u00b2 1 1 0 u", "\u0661 1 1 0 u",
)  # fmt: skip


@pytest.mark.parametrize("text", FOREIGN)
def test_what_another_version_wrote_is_ignored(text: str):
    assert carried_reservation(text) is None
