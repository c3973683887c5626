"""An event loop in virtual time: it jumps to the next timer when nothing else is to be done."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: what it was to wait is added to `passed_s`."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "nothing will ever happen"
            self.passed_s += timeout
        return found


class _AtOnce(ThreadPoolExecutor):
    """Runs in no thread, while which time would pass."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to the future
            future.set_exception(error)
        return future


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self.set_default_executor(_AtOnce())

    def time(self) -> float:
        return self._jumping.passed_s


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; the loop's clock begins at 0 s."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
