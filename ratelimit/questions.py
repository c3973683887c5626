"""A question to the limiter that is asked before it is awaited, so that its round trip overlaps with other work.

Lives here: the awaitable that `Limiter.reserve` and `check` return.  Not here: what is asked (redis.limiter, fallback).
"""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from ratelimit.limits import LimiterUnavailableError

T = TypeVar("T")


class Question(Generic[T]):
    """Awaiting it runs `answer(*arguments)`: once, or never, and then nothing is left behind.

    A coroutine in its place would warn when it is never awaited, and a task costs a turn of the loop.
    """

    __slots__ = ("_answer", "_arguments")

    def __init__(self, answer: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> None:
        self._answer = answer
        self._arguments = arguments

    def __await__(self) -> Generator[Any, Any, T]:
        return self._answer(*self._arguments).__await__()


def known(answer: T) -> Question[T]:
    """Return a question that needs no waiting."""
    return Question(_return, answer)


def failed(error: LimiterUnavailableError) -> Question[Any]:
    """Return a question that raises `error` when it is awaited."""
    return Question(_raise, error)


async def _return(answer: T) -> T:
    return answer


async def _raise(error: LimiterUnavailableError) -> Any:
    raise error
