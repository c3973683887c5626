"""A future whose reader can be told in the step that answers it, instead of a turn of the loop later.

Lives here: the future.  Not here: who answers (coalescer), who waits without a task (gateway.serving.eager).
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class SyncCallbackFuture(asyncio.Future[T]):
    """As any future; but whoever answers it calls `then`, when that is set, in this step or the loop's next turn."""

    then: Callable[[], None] | None = None

    def taken(self) -> Callable[[], None] | None:
        """Return `then` and forget it: with its reader it would be a cycle, and live until garbage is collected."""
        then, self.then = self.then, None
        return then
