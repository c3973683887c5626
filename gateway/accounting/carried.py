"""The reservation of a request as the request itself carries it, in its dynamic metadata, to the entry of its end.

Lives here: writing and reading it.  Not here: who settles by it (deliveries), the metadata's way to Envoy (extproc).

A worker that dies takes its ledger along.  What a request carries is enough for any other worker to settle it by the
usage that its entry reports.  It is in a namespace that no header is made of, so neither clients nor engines see it.
"""

from gateway.envoy.names import EXCHANGE_KEY
from ratelimit.kinds import Amounts
from ratelimit.limits import MAX_LIMIT, UNCOUNTED_SLOT, Reservation

RESERVED_KEY = "reserved"
"""Key beside EXCHANGE_KEY; its text is `SLOT REQUESTS TOKENS LENGTH MODEL USER`, the last two without a blank between
them and a model only where its window holds the amounts too."""
_PARTS = 5
_MAX_DIGITS = len(str(MAX_LIMIT))


def carried(exchange_id: str, reservation: Reservation | None) -> dict[str, str]:
    """Return what a request carries; only its id where nobody else could settle it."""
    if reservation is None or not reservation.is_shared or reservation.slot == UNCOUNTED_SLOT:
        return {EXCHANGE_KEY: exchange_id}
    user, slot, amounts, model = reservation[:4]
    requests, tokens, _ = amounts
    return {EXCHANGE_KEY: exchange_id, RESERVED_KEY: f"{slot} {requests} {tokens} {len(model)} {model}{user}"}


def carried_reservation(text: str) -> Reservation | None:
    """Return the reservation that the text under RESERVED_KEY tells; None for the form of another version."""
    *numbers, names = text.split(" ", _PARTS - 1)
    if len(numbers) != _PARTS - 1 or not all(map(_is_amount, numbers)):
        return None
    slot, requests, tokens, length = map(int, numbers)
    model, user = names[:length], names[length:]
    if not user or max(slot, requests, tokens) > MAX_LIMIT:
        return None
    return Reservation(user, slot, Amounts(requests, tokens), model)


def _is_amount(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS
