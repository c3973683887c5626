"""Coroutines that begin at once: what they ask for is on its way while the caller goes on.

Lives here: `begin`.  A task would begin with the loop's next turn, and cost one more turn at its end.
"""

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """A coroutine that has run up to its first wait.  Await it once, in the task that began it."""

    __slots__ = ("_coroutine", "_result", "_wait")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine: Coroutine[Any, Any, T] | None = coroutine
        self._result: T
        try:
            self._wait = coroutine.send(None)
        except StopIteration as done:
            self._coroutine, self._result = None, done.value

    def __await__(self) -> Generator[Any, Any, T]:
        """As `await coroutine`: passes on what it waits for, and what is thrown into the wait."""
        if self._coroutine is None:
            return self._result
        wait = self._wait
        try:
            while True:
                try:
                    sent = yield wait
                except BaseException as error:  # noqa: BLE001 - the coroutine's to handle, cancellation too
                    wait = self._coroutine.throw(error)
                else:
                    wait = self._coroutine.send(sent)
        except StopIteration as done:
            result: T = done.value
            return result


def begin(coroutine: Coroutine[Any, Any, T]) -> Begun[T]:
    """Run `coroutine` up to its first wait.  What it raises before that is raised here."""
    return Begun(coroutine)
