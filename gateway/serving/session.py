"""Performs one exchange: bytes in, bytes out, the shell's work in between.

Lives here: the loop between wire, exchange and pipeline, for every transport.  Not here: framing and gRPC (serving).
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway.accounting.ledger import Ledger
from gateway.accounting.settlement import FIRST_ERROR_STATUS, ObservedEnd
from gateway.admission.pipeline import Pipeline
from gateway.config.settings import Settings
from gateway.extproc import wire
from gateway.extproc.commands import Abort, Admit, Answer, Command, Finish, Refuse
from gateway.extproc.events import Answered, Closed, Refused, Routed
from gateway.extproc.exchange import Exchange, State

_QUESTIONS = (Admit, Refuse, Answer)
"""Commands that the pipeline answers; a union would be built anew for every message."""


class ProtocolError(Exception):
    """The peer sent what no ext_proc client sends: INVALID_ARGUMENT, with this text."""


class Session:
    """One ext_proc stream.  `feed` each message, then `close` once."""

    def __init__(self, settings: Settings, pipeline: Pipeline, ledger: Ledger) -> None:
        self._exchange = Exchange(settings.body_limit_bytes, compat=settings.compat == "v0.2.1")
        self._through_us = settings.response_mode == "ext_proc"
        self._pipeline = pipeline
        self._ledger = ledger
        self._id: str | None = None  # set once the ledger knows it
        self._leave: Callable[[], None] | None = None  # gives up a request that waits
        self._ready: list[bytes] = []  # prepared while the verdict is awaited

    @property
    def ended(self) -> bool:
        """Nothing that still comes matters."""
        return self._exchange.state is State.ENDED

    async def feed(self, message: bytes) -> list[bytes]:
        """Return the replies to one message, in order.  Raises ProtocolError."""
        step = self.step(message)
        return step if isinstance(step, list) else await step

    def step(self, message: bytes) -> list[bytes] | Coroutine[Any, Any, list[bytes]]:
        """Return the replies, or what must be awaited to have them.  Raises ProtocolError."""
        try:
            commands = self._exchange.step(wire.decode(message))
        except wire.MalformedMessageError as error:
            raise ProtocolError(str(error)) from error
        if commands and isinstance(commands[0], _QUESTIONS):
            return self._decided(commands[0])
        return self._performed(commands)

    async def _decided(self, command: Admit | Refuse | Answer) -> list[bytes]:
        event: Routed | Refused | Answered
        if isinstance(command, Answer):
            event = await self._pipeline.answer(command)
        elif isinstance(command, Refuse):
            event = await self._pipeline.refuse(command)
        else:
            admission = await self._pipeline.admit(command, self._waits, self._prepare)
            if isinstance(admission, (Refused, Answered)):
                event = admission
            else:
                event, self._id = admission
                # Let go of: a whole body may be in it, and the session lives as long as the answer.
                ready, self._ready = self._ready, []
                if ready:
                    (rest,) = self._performed(self._exchange.step(event))
                    return [ready[0] + rest, *ready[1:]]
        return self._performed(self._exchange.step(event))

    def _prepare(self, routed: Routed) -> None:
        """What is certain goes into bytes while the verdict is awaited; the rest of a message may follow it."""
        self._ready = self._performed(self._exchange.prepare(routed))

    def _performed(self, commands: Sequence[Command]) -> list[bytes]:
        replies = []
        for command in commands:
            if isinstance(command, Finish):
                self._finish(command)
            elif isinstance(command, Abort):
                raise ProtocolError(command.reason)
            else:
                replies.append(wire.encode(command))
        return replies

    def close(self) -> None:
        """The stream is over, however it ended."""
        for command in self._exchange.step(Closed()):
            if isinstance(command, Finish):
                self._finish(command)

    def abandon(self) -> None:
        """The client has left while its request is decided on; what waits does so no more.  `close` follows."""
        if self._leave is not None:
            self._leave()

    def _waits(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def _finish(self, finish: Finish) -> None:
        if self._id is None:
            return
        if self._through_us or _tells_enough(finish):
            self._ledger.ended(
                self._id,
                ObservedEnd(
                    status=finish.status if finish.complete else finish.status or 0,  # a whole answer has some status
                    usage=finish.usage,
                    error_code=finish.error_code,
                    cut=not finish.complete,
                    output_chunks=finish.output_chunks,
                    upstream=finish.served or "",
                ),
            )
        else:
            self._ledger.stream_closed(self._id)


def _tells_enough(finish: Finish) -> bool:
    """Whether a response that passed through us in metadata mode says what to charge: no entry need be awaited."""
    refused = finish.status is not None and finish.status >= FIRST_ERROR_STATUS
    return refused or finish.usage is not None or bool(finish.output_chunks)
