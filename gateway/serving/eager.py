"""Coroutines that begin at once: what they ask for is on its way while the caller goes on.

Lives here: `begin`, and going on without a task.  A task would begin with the loop's next turn and end one turn late;
a request that waits for nothing but Redis has no other use for one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """A coroutine that has run up to its first wait.  Then either await it in a task, or call `then`; once."""

    __slots__ = ("_coroutine", "_error", "_result", "_tell", "_wait", "done")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._result: T
        self._error: Exception | None = None
        self._tell: Callable[[], None]
        self.done = False
        """Whether `result` is there."""
        try:
            self._wait: asyncio.Future[Any] | None = coroutine.send(None)
        except StopIteration as end:
            self._result, self.done = end.value, True

    def result(self) -> T:
        """What the coroutine returned.  Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def __await__(self) -> Generator[Any, Any, T]:
        """As `await coroutine`: passes on what it waits for, and what is thrown into the wait."""
        if self.done:
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
        except StopIteration as end:
            result: T = end.value
            return result

    def then(self, tell: Callable[[], None]) -> None:
        """Go on without a task, and `tell` when it is done.  The coroutine cannot be cancelled nor use asyncio.timeout.

        Precondition: not done.
        """
        self._tell = tell
        self._watch()

    def _watch(self) -> None:
        wait = self._wait
        if wait is None:  # asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            wait._asyncio_future_blocking = False  # as a task would, to say that it has seen it
            wait.add_done_callback(self._go_on)

    def _go_on(self, _: object = None) -> None:
        try:
            self._wait = self._coroutine.send(None)
        except StopIteration as end:
            self._result = end.value
        except Exception as error:  # noqa: BLE001 - told by `result`
            self._error = error
        else:
            self._watch()
            return
        self.done = True
        self._tell()


def begin(coroutine: Coroutine[Any, Any, T]) -> Begun[T]:
    """Run `coroutine` up to its first wait.  What it raises before that is raised here."""
    return Begun(coroutine)
