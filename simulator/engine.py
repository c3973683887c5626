"""The engine as its HTTP face uses it: requests become sequences, their tokens arrive on the event loop.

Lives here: one timer for all sequences, hand-over of tokens, abort, death.  Not here: when tokens come (timing),
JSON (answers), HTTP (http).
"""

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Series
from dataclasses import dataclass
from typing import NamedTuple

from simulator.metrics import EngineMetrics
from simulator.profile import Profile, Speed
from simulator.timing import Scheduler, Sequence
from simulator.tokens import block_hashes, token_count
from simulator.writing import Composition

RESOLUTION_S = 0.005
"""Tokens due within this time of each other come together: at most 200 wake-ups a second, however many streams."""


class EngineDiedError(Exception):
    """The engine stopped under a request."""


class ClientGoneError(Exception):
    """The client closed the connection of a request."""


class QueueFullError(Exception):
    """`max_waiting` requests wait already."""


class Token(NamedTuple):
    """One token has come: `position` in the output of `choice`."""

    choice: int
    position: int


@dataclass(frozen=True, slots=True)
class Work:
    """What one choice of a request asks of the engine.  No composition: an embedding."""

    prompt: bytes  # encoded
    composition: Composition | None = None


class Generation:
    """The sequences of one request.  Iterate over its tokens in the order of their coming; it ends with the last."""

    def __init__(self, abort: Callable[["Generation"], None]) -> None:
        self.sequences: list[Sequence] = []
        self.open = 0  # sequences that have not ended
        self._events: asyncio.Queue[Token | Exception] = asyncio.Queue()
        self._abort = abort

    def __aiter__(self) -> "Generation":
        return self

    async def __anext__(self) -> Token:
        """Raises EngineDiedError or ClientGoneError when that happens first."""
        if not self.open and self._events.empty():
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def interruption(self) -> None:
        """Make no more of the tokens and wait until EngineDiedError or ClientGoneError is raised."""
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event

    def put(self, event: Token | Exception) -> None:
        """Hand something to whoever iterates."""
        self._events.put_nowait(event)

    def abort(self) -> None:
        """Free all that is still held; no token comes after this."""
        self._abort(self)


class Engine:
    """One engine on the running event loop.  `clock` gives Unix seconds; pacing uses the loop's own time."""

    def __init__(self, profile: Profile, clock: Callable[[], float]) -> None:
        self.profile = profile
        self.clock = clock
        self.alive = True
        self._scheduler = Scheduler(profile)
        self._metrics = EngineMetrics(profile, self._scheduler, clock())
        self._owners: dict[Sequence, tuple[Generation, int, str]] = {}
        self._interruptible: set[Generation] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_s = 0.0

    def generate(self, model: str, works: Series[Work]) -> Generation:
        """Submit the choices of one request.

        Raises QueueFullError or EngineDiedError; then nothing was submitted.
        """
        if not self.alive:
            raise EngineDiedError
        self._check_queue()
        generation = Generation(self._abort)
        self._interruptible.add(generation)
        hashes = {work.prompt: block_hashes(work.prompt, model) for work in works}
        for choice, work in enumerate(works):
            length = len(work.composition.pieces) if work.composition else 0
            sequence = Sequence(token_count(work.prompt), length, self._loop.time(), hashes[work.prompt], model)
            self._submit(generation, choice, work, sequence)
        self._schedule()
        return generation

    def set_speed(self, speed: Speed) -> None:
        """From now on."""
        self._scheduler.set_speed(speed, self._loop.time())
        self._schedule()

    def exposition(self) -> bytes:
        """The text of /metrics."""
        return self._metrics.exposition(self.clock())

    def die(self) -> None:
        """As a real engine on SIGTERM: every request ends with an error, new ones are refused."""
        self.alive = False
        for generation in tuple(self._interruptible):
            generation.put(EngineDiedError())
            generation.abort()

    def _check_queue(self) -> None:
        limit = self.profile.max_waiting
        if limit is not None and len(self._scheduler.waiting) >= limit and self._is_full():
            self._metrics.rejected()
            raise QueueFullError

    def _is_full(self) -> bool:
        return bool(self._scheduler.waiting) or len(self._scheduler.running) >= self.profile.max_running

    def _submit(self, generation: Generation, choice: int, work: Work, sequence: Sequence) -> None:
        reason = work.composition.finish_reason if work.composition else "stop"
        self._owners[sequence] = (generation, choice, reason)
        generation.sequences.append(sequence)
        generation.open += 1
        self._scheduler.submit(sequence, sequence.arrived_s)

    def _abort(self, generation: Generation) -> None:
        self._interruptible.discard(generation)
        now_s = self._loop.time()
        for sequence in generation.sequences:
            if self._owners.pop(sequence, None):
                self._scheduler.abort(sequence, now_s)
        generation.open = 0
        self._schedule()

    def _schedule(self) -> None:
        """Set the one timer to the next due token, no sooner than RESOLUTION_S after the last tick."""
        if self._timer:
            self._timer.cancel()
        next_s = self._scheduler.next_s()
        at_s = None if next_s is None else max(next_s, self._ticked_s + RESOLUTION_S)
        self._timer = None if at_s is None else self._loop.call_at(at_s, self._tick)

    def _tick(self) -> None:
        self._ticked_s = self._loop.time()
        for sequence in self._scheduler.advance(self._ticked_s):
            self._deliver(sequence)
        self._schedule()

    def _deliver(self, sequence: Sequence) -> None:
        generation, choice, reason = self._owners[sequence]
        self._metrics.token_made(sequence)
        if sequence.ended:
            del self._owners[sequence]
            generation.open -= 1
            self._metrics.finished(sequence, reason)
        generation.put(Token(choice, max(0, sequence.made - 1)))
