"""Performs one exchange: bytes in, bytes out, and the work in between.

Lives here: the loop between the wire format, the exchange's state machine, admission and the ledger, for every
transport. Not here: framing and gRPC (grpc, http2).
"""

from collections.abc import Coroutine, Sequence
from typing import Any

from gateway.accounting.ledger import Ledger
from gateway.accounting.settlement import FIRST_ERROR_STATUS, ObservedEnd
from gateway.admission.admit import Admission
from gateway.config.settings import Settings
from gateway.extproc import wire
from gateway.extproc.commands import Abort, Admit, Answer, Command, Finish, Refuse
from gateway.extproc.events import Closed, Routed
from gateway.extproc.exchange import Exchange, State

_QUESTIONS = (Admit, Refuse, Answer)
"""Commands that admission answers; a tuple because a union would be built anew for every message."""


class ProtocolError(Exception):
    """The peer sent what no ext_proc client sends: INVALID_ARGUMENT, with this text."""


class ExtProcStream:
    """One ext_proc stream.  `step` each message, wait for its replies, then `close` once."""

    def __init__(self, settings: Settings, admission: Admission, ledger: Ledger) -> None:
        self._exchange = Exchange(settings.body_limit_bytes, compat=settings.compat == "v0.2.1")
        self._sees_answers = settings.response_mode == "ext_proc"
        self._admission = admission
        self._ledger = ledger
        self._id: str | None = None  # under which the ledger knows the request, once it is admitted
        self._undecided: Admit | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing that still comes matters."""
        return self._exchange.state is State.ENDED

    async def feed(self, message: bytes) -> list[bytes]:
        """Return the replies to one message, in order.  Raises ProtocolError."""
        step = self.step(message)
        return step if isinstance(step, list) else await step

    def step(self, message: bytes) -> list[bytes] | Coroutine[Any, Any, list[bytes]]:
        """Return the replies, or a coroutine that returns them: only admissions wait.  Raises ProtocolError."""
        try:
            commands = self._exchange.step(wire.decode(message))
        except wire.MalformedMessageError as error:
            raise ProtocolError(str(error)) from error
        if commands and isinstance(commands[0], _QUESTIONS):
            return self._decide(commands[0])
        return self._perform(commands)

    def abandon(self) -> None:
        """Give up the request if it waits for a pod, because its client has left.  `close` follows."""
        if self._undecided is not None:
            self._admission.abandon(self._undecided)

    def close(self) -> None:
        """End the exchange: the stream is over, however it ended."""
        for command in self._exchange.step(Closed()):
            if isinstance(command, Finish):
                self._finish(command)

    async def _decide(self, question: Admit | Refuse | Answer) -> list[bytes]:
        if isinstance(question, Admit):
            self._undecided = question
        decision = await self._admission.decide(question)
        self._undecided = None  # it holds the whole prompt, and the stream lives as long as the answer
        if isinstance(decision, Routed):
            self._id = decision.exchange_id
        return self._perform(self._exchange.step(decision))

    def _perform(self, commands: Sequence[Command]) -> list[bytes]:
        replies = []
        for command in commands:
            if isinstance(command, Finish):
                self._finish(command)
            elif isinstance(command, Abort):
                raise ProtocolError(command.reason)
            else:
                replies.append(wire.encode(command))
        return replies

    def _finish(self, finish: Finish) -> None:
        if self._id is None:
            return
        if self._sees_answers or _says_enough(finish):
            self._ledger.ended(
                self._id,
                ObservedEnd(
                    status=finish.status if finish.complete else finish.status or 0,  # a whole answer has some status
                    usage=finish.usage,
                    error_code=finish.error_code,
                    client_left=not finish.complete,
                    output_chunks=finish.output_chunks,
                    upstream=finish.served or "",
                ),
            )
        else:
            self._ledger.stream_closed(self._id)


def _says_enough(finish: Finish) -> bool:
    """Whether an answer that passed through us in metadata mode says what to charge, so that no log entry is needed."""
    refused = finish.status is not None and finish.status >= FIRST_ERROR_STATUS
    return refused or finish.usage is not None or bool(finish.output_chunks)
