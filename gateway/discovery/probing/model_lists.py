"""The engines' own lists of models: ask engines for them and report models, how many tokens they take, and adapters.

Lives here: the question and reading its answer.  Not here: the HTTP request (http_get), whose turn it is (rounds), what
the lengths are used for (gateway.fleet.fleet), and the names (gateway.discovery.naming).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import NamedTuple

import orjson

from gateway.discovery.probing.rounds import Rounds
from gateway.discovery.probing.schedule import Schedule, Target
from routing.types import Endpoint, PodId

PATH = "/v1/models"
INTERVAL_S = 10.0
"""Time between two questions to one engine; chosen: a fifth of what scraping costs, and an engine that was started late
or with another model is known soon."""
ADAPTERS_INTERVAL_S = 0.5
"""The same for an engine of which the list alone says which adapters it has: they are known within a second."""
TIMEOUT_S = 2.0
DOUBLINGS = 3
"""How often the interval is doubled for an engine that does not answer, such as one without this path (chosen)."""

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the page at `ip:port`; whatever it raises is why there is none."""


class Listing(NamedTuple):
    """The models of one engine."""

    lengths: Mapping[str, int | None]
    """`max_model_len` by model, None where it is not told."""
    adapters: tuple[str, ...] = ()
    """Those of them that are adapters: they have a `parent`."""


class ModelLists(Rounds):
    """Asks the endpoints that it was given last, until cancelled, and calls `report` with what `listed` returns.

    Of two, one asks endpoints whose lists tell their adapters (`adapters=True`), the other one all others.
    """

    def __init__(
        self, fetch: Fetch, report: Callable[[PodId, Listing], None], rng: Random, *, adapters: bool = False
    ) -> None:
        interval_s = ADAPTERS_INTERVAL_S if adapters else INTERVAL_S
        super().__init__(Schedule(interval_s, rng, doublings=0 if adapters else DOUBLINGS), TIMEOUT_S, "models")
        self._fetch = fetch
        self._report = report
        self._adapters = adapters

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Ask those of these endpoints that are its own from now on, new ones at once."""
        super().replace([one for one in endpoints if one.lists_adapters is self._adapters])

    async def ask(self, target: Target) -> None:
        """Ask one endpoint.  An engine that is not there has no adapters, and none when it is started again."""
        try:
            page = await self._fetch(target.address)
        except ConnectionRefusedError:
            if self._adapters:
                self._report(target.pod, Listing({}))
            raise
        self._report(target.pod, listed(page))


def listed(page: bytes) -> Listing:
    """Return what an engine lists.  Raises ValueError or TypeError for no list."""
    answer = orjson.loads(page)
    cards = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(cards, list):
        raise TypeError("not a list of models")
    found: dict[str, int | None] = {}
    adapters: list[str] = []
    for card in cards:
        name, length = (card.get("id"), card.get("max_model_len")) if isinstance(card, dict) else (None, None)
        if isinstance(name, str) and name:
            found[name] = length if isinstance(length, int) and length > 0 else None
            if card.get("parent"):
                adapters.append(name)
    return Listing(found, tuple(adapters))
