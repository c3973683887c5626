"""The reservation of a request as the request itself carries it, in its dynamic metadata, to the entry of its end.

Lives here: writing and reading it.  Not here: who settles by it (deliveries), the metadata's way to Envoy (extproc).

A worker that dies takes its ledger along.  What a request carries is enough for any other worker to settle it by the
usage that its entry reports.  It is in a namespace that no header is made of, so neither clients nor engines see it.
"""

from typing import Any

import orjson

from gateway.envoy.names import EXCHANGE_KEY
from ratelimit.kinds import LEVELS, Amounts
from ratelimit.limits import MAX_LIMIT, UNCOUNTED_SLOT, Reservation
from ratelimit.prices import FREE, Prices, prices_of

RESERVED_KEY = "reserved"
"""Key beside EXCHANGE_KEY; its text is `SLOT REQUESTS TOKENS LENGTH MODEL USER`, the last two without a blank between
them and a model only where its window holds the amounts too.  A reservation that has more than these is JSON."""
_PARTS = 5
_MAX_DIGITS = len(str(MAX_LIMIT))
_PREFIXES = {level.prefix: level for level in LEVELS}


def carried(exchange_id: str, reservation: Reservation | None, prices: Prices = FREE) -> dict[str, str]:
    """Return what a request carries; only its id where nobody else could settle it."""
    if reservation is None or not reservation.is_shared or reservation.slot == UNCOUNTED_SLOT:
        return {EXCHANGE_KEY: exchange_id}
    user, slot, amounts, model = reservation[:4]
    requests, tokens, cost = amounts
    if cost or prices is not FREE or reservation.key or reservation.group or reservation.budgets or reservation.is_hard:
        return {EXCHANGE_KEY: exchange_id, RESERVED_KEY: _as_json(reservation, prices)}
    return {EXCHANGE_KEY: exchange_id, RESERVED_KEY: f"{slot} {requests} {tokens} {len(model)} {model}{user}"}


def carried_reservation(text: str) -> tuple[Reservation, Prices] | None:
    """Return what the text under RESERVED_KEY tells, with the prices at admission; None for another version's form."""
    if text.startswith("{"):
        return _of_json(text)
    *numbers, names = text.split(" ", _PARTS - 1)
    if len(numbers) != _PARTS - 1 or not all(map(_is_amount, numbers)):
        return None
    slot, requests, tokens, length = map(int, numbers)
    model, user = names[:length], names[length:]
    if not user or max(slot, requests, tokens) > MAX_LIMIT:
        return None
    return Reservation(user, slot, Amounts(requests, tokens), model), FREE


def _is_amount(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS


def _as_json(reservation: Reservation, prices: Prices) -> str:
    fields = reservation._asdict() | {"permits": (), "amounts": tuple(reservation.amounts), "prices": tuple(prices)}
    fields["budgets"] = [level.prefix for level in reservation.budgets]
    return orjson.dumps(fields).decode()


def _of_json(text: str) -> tuple[Reservation, Prices] | None:
    """Read what `_as_json` wrote; only workers write it, so anything else is another version's."""
    try:
        fields: dict[str, Any] = orjson.loads(text)
        prices = prices_of(*fields.pop("prices"))
        fields["amounts"] = Amounts(*fields["amounts"])
        fields["budgets"] = tuple(_PREFIXES[prefix] for prefix in fields["budgets"])
        return Reservation(**{**fields, "permits": ()}), prices
    except (ValueError, KeyError, TypeError):
        return None
