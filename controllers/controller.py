"""The seam between a controller and the process that runs it: sets that it follows, and work while it leads.

Lives here: the seam, and the following of sets.  Not here: the controllers (rooms beside this), leader election and
HTTP (forebay.cluster).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

from kube.informer import Informer
from kube.queue import WorkQueue


class Controller(Protocol):
    """Makes one part of a cluster as its objects ask for."""

    name: ClassVar[str]
    queue: WorkQueue

    @property
    def followed(self) -> Sequence[Informer[Any]]:
        """The sets that it follows; whoever runs it keeps them current, whether it leads or not."""
        ...

    def missing(self) -> Iterator[str]:
        """Yield why it cannot work, in a line each."""
        ...

    def states(self) -> dict[str, int]:
        """Return how many of the objects that it makes are in which state."""
        ...

    async def lead(self) -> None:
        """Work, for ever.  It is cancelled when this process leads no more, and may be called again."""
        ...


async def look_at_changes(informer: Informer[Any], look: Callable[[], None]) -> None:
    """Look after each change of a set, for ever."""
    async for _ in informer.changes():
        look()


def unfollowed(informers: Sequence[Informer[Any]]) -> Iterator[str]:
    """Yield the sets that are not current, and why."""
    for informer in informers:
        if informer.is_absent:
            yield f"{informer.kind.name} of {informer.kind.api_version} is not installed"
        elif not informer.is_current:
            yield f"{informer.kind.name} is not followed: {informer.failure or 'not listed yet'}"
