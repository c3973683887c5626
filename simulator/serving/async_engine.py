"""The engine model in real time, on an event loop: requests become sequences, whose tokens arrive as events.

Lives here: the timer of the pass under way, delivery of tokens, abort, sleep, crash and shutdown.  Not here: what a
pass computes and how long it takes (core), JSON (simulator.openai), HTTP (routes, endpoints).  vLLM calls the same part
by this name.
"""

import asyncio
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Series
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import generate_latest

from simulator.core.blocks import Change
from simulator.core.engine import Step
from simulator.core.profile import Profile
from simulator.core.sequence import Sequence
from simulator.core.speed import Speed
from simulator.metrics.sglang import SglangMetrics
from simulator.metrics.state import EngineState
from simulator.metrics.vllm import VllmMetrics
from simulator.openai.tokens import block_hashes, token_count
from simulator.openai.writing import Composition

if TYPE_CHECKING:
    from simulator.serving.kv_events import KvEvents

MAX_LAG_S = 0.02
"""A pass starts when the one before was due to end, though the loop is late by up to this many seconds: timers are late
by a millisecond each, which would add up.  A loop that is later cannot keep up, and its passes start late (chosen)."""

METRICS: Mapping[str, type[VllmMetrics] | type[SglangMetrics]] = {"vllm": VllmMetrics, "sglang": SglangMetrics}
"""The /metrics page for each value of `Profile.metrics`."""

NO_STEP = Step(0.0)


class EngineDiedError(Exception):
    """The engine stopped before the request ended."""


class ClientGoneError(Exception):
    """The client closed the connection of a request."""


class QueueFullError(Exception):
    """`max_waiting` requests are waiting already."""


class Token(NamedTuple):
    """A token has been generated: number `position`, from 0, of choice number `choice`."""

    choice: int
    position: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One output that a request asks for."""

    prompt: bytes  # encoded
    composition: Composition | None = None  # None: an embedding


@dataclass(slots=True)
class _Output:
    """A choice that is being generated."""

    generation: "Generation"
    index: int  # of the choice in its request
    choice: Choice
    generated: int = 0  # tokens so far
    token_s: float | None = None  # when its last token came


class Generation:
    """The sequences of one request.  Iterating over it yields its tokens as they come, until the last one."""

    def __init__(self, abort: Callable[["Generation"], None]) -> None:
        self.sequences: list[Sequence] = []
        self.open = 0  # sequences that have not ended
        self._events: asyncio.Queue[Token | Exception] = asyncio.Queue()
        self._abort = abort

    def __aiter__(self) -> "Generation":
        return self

    async def __anext__(self) -> Token:
        """Return the next token.  Raises EngineDiedError or ClientGoneError when that happens first."""
        if not self.open and self._events.empty():
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def interruption(self) -> None:
        """Discard tokens until EngineDiedError or ClientGoneError is raised."""
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event

    def put(self, event: Token | Exception) -> None:
        """Pass an event to the one that iterates."""
        self._events.put_nowait(event)

    def abort(self) -> None:
        """Free what the sequences hold; no token comes after this."""
        self._abort(self)


class AsyncEngine:
    """One engine on the running event loop.  `clock` returns Unix seconds; passes are timed by the loop's own clock."""

    def __init__(self, profile: Profile, clock: Callable[[], float], events: "KvEvents | None" = None) -> None:
        self.clock = clock
        self.alive = True
        self.restarting = False
        self._events = events
        self._changes: list[Change] | None = [] if events else None
        self._initial_profile = profile
        self._start()
        self._outputs: dict[Sequence, _Output] = {}
        self._interruptible: set[Generation] = set()
        self._loop = asyncio.get_running_loop()
        self._step = NO_STEP  # the pass under way
        self._due_s = 0.0  # when it ends
        self._timer: asyncio.Handle | None = None

    def _start(self) -> None:
        """Set up the state that the initial profile describes, with nothing cached or counted."""
        self.state = EngineState(self._initial_profile, self.clock(), self._changes)
        self._metrics = METRICS[self._initial_profile.metrics](self.state)

    @property
    def profile(self) -> Profile:
        """The current profile, with the adapters that are loaded now."""
        return self.state.profile

    def generate(self, model: str, choices: Series[Choice]) -> Generation:
        """Submit the choices of one request.

        Raises QueueFullError or EngineDiedError; then nothing was submitted.
        """
        if not self.alive:
            raise EngineDiedError
        self._check_queue()
        generation = Generation(self._abort)
        self._interruptible.add(generation)
        adapter = "" if model == self.profile.model else model
        block_tokens = self.profile.gpu.block_tokens
        hashes = {choice.prompt: block_hashes(choice.prompt, model, block_tokens) for choice in choices}
        for index, choice in enumerate(choices):
            length = len(choice.composition.pieces) if choice.composition else 0
            sequence = Sequence(max(1, token_count(choice.prompt)), length, hashes[choice.prompt], adapter)
            self.state.model.add(sequence, self._loop.time())
            self._outputs[sequence] = _Output(generation, index, choice)
            generation.sequences.append(sequence)
            generation.open += 1
        self._wake()
        return generation

    def load_adapter(self, name: str, path: str) -> None:
        """Serve the adapter as a model from now on.  Raises AdapterLoadedError."""
        self.state.model.adapters.load(name, path)
        self.state.profile = replace(self.profile, adapters=(*self.profile.adapters, name))

    def unload_adapter(self, name: str) -> None:
        """Accept no more requests for the adapter; those that were accepted go on.  Raises UnknownAdapterError."""
        self.state.model.adapters.unload(name)
        remaining = tuple(adapter for adapter in self.profile.adapters if adapter != name)
        self.state.profile = replace(self.profile, adapters=remaining)

    def sleep(self, level: int) -> None:
        """Begin no further pass until `wake`; the cache is lost."""
        self.state.sleep_level = level
        self.state.model.pause_until(inf)
        self.clear_cache()

    def wake(self) -> None:
        """End the sleep, if the engine sleeps."""
        self.state.sleep_level = 0
        self.state.model.pause_until(0)
        self._wake()

    def clear_cache(self) -> bool:
        """Empty the cache and return True; return False, and do nothing, while sequences run."""
        cleared = self.state.model.clear_cache()
        if cleared and self._events:
            self._events.clear()
        return cleared

    def set_speed(self, speed: Speed) -> None:
        """Set the speed of the next passes; the pass under way ends at once."""
        self.state.model.profile = replace(self.state.model.profile, speed=speed)
        if self._timer:
            self._due_s = self._loop.time()
            self._set_timer()

    def exposition(self) -> bytes:
        """Return the text of /metrics."""
        self._metrics.now_s = self.clock()
        return generate_latest(self._metrics)

    def crash(self, restart_s: float) -> None:
        """Lose all requests and all state, and start again with the initial profile after `restart_s` seconds."""
        if not self.restarting:
            self._end_all()
            self.restarting = True
            self._loop.call_later(restart_s, self._restart)

    def die(self) -> None:
        """End every request with an error and refuse new ones, as vLLM does on SIGTERM."""
        self.alive = False
        self._end_all()

    def _end_all(self) -> None:
        for generation in tuple(self._interruptible):
            generation.put(EngineDiedError())
            generation.abort()

    def _restart(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer, self._step = None, NO_STEP
        if self._changes is not None and self._events:
            self._changes.clear()
            self._events.restart()
        self._start()
        self.restarting = False

    def _check_queue(self) -> None:
        limit, model = self.profile.max_waiting, self.state.model
        if limit is not None and len(model.running) + len(model.waiting) >= self.profile.gpu.max_running + limit:
            self.state.rejections += 1
            raise QueueFullError

    def _abort(self, generation: Generation) -> None:
        self._interruptible.discard(generation)
        for sequence in generation.sequences:
            if sequence in self._outputs:
                self.state.model.abort(sequence)
                self._publish()
                del self._outputs[sequence]
        self.state.ending = tuple(sequence for sequence in self.state.ending if sequence in self._outputs)
        generation.open = 0

    # Passes

    def _wake(self) -> None:
        """Begin a pass, unless one is under way, with all requests that arrive in this iteration of the loop."""
        if not self._timer:
            self._timer = self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._begin_at(self._loop.time())

    def _begin_at(self, now_s: float) -> None:
        self._timer = None
        step = self.state.model.step(now_s)
        self._publish()
        if step:
            self._step, self._due_s = step, now_s + step.duration_s
            self.state.ending = step.ended
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due_s, self._finish)

    def _finish(self) -> None:
        """End a pass: deliver its tokens, begin the next."""
        step, self._step, self.state.ending = self._step, NO_STEP, ()
        decoded = tuple(self.state.model.decoding) if step.tokens else ()
        for sequence in (*decoded, *step.ended):
            if sequence in self._outputs:
                self._deliver(sequence, self._outputs[sequence])
        self._begin_at(max(self._due_s, self._loop.time() - MAX_LAG_S))

    def _deliver(self, sequence: Sequence, output: _Output) -> None:
        self.state.token_made(sequence, output.token_s, self._due_s)
        if sequence.ended_s is not None:
            del self._outputs[sequence]
            output.generation.open -= 1
            composition = output.choice.composition
            self.state.finish(sequence, composition.finish_reason if composition else "stop", self._due_s)
        output.generation.put(Token(output.index, output.generated))
        output.generated, output.token_s = output.generated + 1, self._due_s

    def _publish(self) -> None:
        if self._changes and self._events:
            self._events.publish(self._changes, lambda sequence: self._outputs[sequence].choice.prompt)
            self._changes.clear()
