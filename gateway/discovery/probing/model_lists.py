"""The engines' own lists of models: ask every engine for it and report its models and how many tokens they take.

Lives here: the question and reading its answer.  Not here: the HTTP request (http_get), whose turn it is (rounds), what
the lengths are used for (gateway.fleet.fleet), and the names (gateway.discovery.naming).
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random

import orjson

from gateway.discovery.probing.rounds import Rounds
from gateway.discovery.probing.schedule import Schedule, Target
from routing.types import PodId

PATH = "/v1/models"
INTERVAL_S = 10.0
"""Time between two questions to one engine; chosen: a fifth of what scraping costs, and an engine that was started late
or with another model is known soon."""
TIMEOUT_S = 2.0
DOUBLINGS = 3
"""How often the interval is doubled for an engine that does not answer, such as one without this path (chosen)."""

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the page at `ip:port`; whatever it raises is why there is none."""


class ModelLists(Rounds):
    """Asks the endpoints that it was given last, until cancelled, and calls `report` with what `listed` returns."""

    def __init__(self, fetch: Fetch, report: Callable[[PodId, Mapping[str, int | None]], None], rng: Random) -> None:
        super().__init__(Schedule(INTERVAL_S, rng, doublings=DOUBLINGS), TIMEOUT_S, "models")
        self._fetch = fetch
        self._report = report

    async def ask(self, target: Target) -> None:
        """Ask one endpoint."""
        self._report(target.pod, listed(await self._fetch(target.address)))


def listed(page: bytes) -> Mapping[str, int | None]:
    """Return `max_model_len` by model, None where it is not told.  Raises ValueError or TypeError for no list."""
    answer = orjson.loads(page)
    cards = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(cards, list):
        raise TypeError("not a list of models")
    found: dict[str, int | None] = {}
    for card in cards:
        name, length = (card.get("id"), card.get("max_model_len")) if isinstance(card, dict) else (None, None)
        if isinstance(name, str) and name:
            found[name] = length if isinstance(length, int) and length > 0 else None
    return found
