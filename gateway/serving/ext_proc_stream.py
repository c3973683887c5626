"""One ext_proc stream: serialised messages in, serialised replies out, for every transport.

Lives here: the loop between the wire format, the exchange's state machine, admission and the ledger.
Not here: framing and gRPC (grpc, http2).
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from gateway.accounting.ledger import Ledger
from gateway.accounting.outcomes import ObservedEnd
from gateway.admission.admit import Admission
from gateway.config.pools import api_models
from gateway.config.settings import Settings
from gateway.extproc import wire
from gateway.extproc.commands import Abort, Admit, Answer, Command, Decode, Finish, Identify, Refuse
from gateway.extproc.events import Closed, Decoded, Event, Identified, Refused, RequestHeaders, Routed
from gateway.extproc.exchange import UNKNOWN_END, Exchange, State
from gateway.extproc.relay import Relay
from gateway.openai.codings import decode_body
from gateway.openai.errors import FIRST_ERROR, RefusalError
from gateway.serving.framing import Unfinished

_FOR_ADMISSION = (Admit, Refuse, Answer)
"""Commands that admission decides; a tuple because isinstance with `A | B` builds the union anew for every message."""


class ProtocolError(Exception):
    """The peer broke the protocol: the call ends with INVALID_ARGUMENT and this text."""


class ExtProcStream:
    """The state of one stream.  Call `step` for each message, await its replies before the next, then `close`."""

    def __init__(self, settings: Settings, admission: Admission, ledger: Ledger, unfinished: Unfinished) -> None:
        self._exchange = Exchange(
            settings.body_limit_bytes,
            admission.rewrites,
            compat=settings.compat == "v0.2.1",
            asks_usage=settings.asks_stream_usage,
        )
        self._pools = settings.pools
        self._relay: Relay | None = None  # in place of the exchange, for a request on its way to an API
        self._sees_responses = settings.response_mode == "ext_proc"
        self._admission = admission
        self._ledger = ledger
        self._unfinished = unfinished
        self._gathered = 0  # bytes of the body that are counted as unfinished
        self._exchange_id: str | None = None  # the key of the request in the ledger, once it is admitted
        self._undecided: Admit | None = None  # what admission is deciding now
        self._has_begun = True  # and is neither admitted nor over
        ledger.begin()

    @property
    def ended(self) -> bool:
        """Whether the exchange is over, so that further messages are ignored."""
        return self._exchange.state is State.ENDED

    async def feed(self, message: bytes) -> list[bytes]:
        """Return the replies to one message, in order.  Raises ProtocolError."""
        step = self.step(message)
        return step if isinstance(step, list) else await step

    def step(self, message: bytes) -> list[bytes] | Coroutine[Any, Any, list[bytes]]:
        """Return the replies to one message, or a coroutine of them where admission decides.  Raises ProtocolError."""
        try:
            event = wire.decode(message)
        except wire.MalformedMessageError as error:
            raise ProtocolError(str(error)) from error
        if isinstance(event, RequestHeaders) and event.api_pool:
            self._on_decided()
            self._relay = Relay(api_models(self._pools, event.api_pool))
        return self._advance(event) if self._relay is None else self._perform(self._relay.step(event))

    def abandon(self) -> None:
        """Give up a request that waits for a pod, because its client has left.  `close` must follow."""
        if self._undecided is not None:
            self._admission.abandon(self._undecided)

    def close(self) -> None:
        """End the exchange, because the stream is over for whatever reason."""
        self._on_decided()
        for command in self._exchange.step(Closed()):
            if isinstance(command, Finish):
                self._finish(command)
        self._count_gathered()

    def _on_decided(self) -> None:
        """Note, once, that the request is admitted or will never be."""
        if self._has_begun:
            self._has_begun = False
            self._ledger.decided()

    def _count_gathered(self) -> None:
        before, self._gathered = self._gathered, self._exchange.gathered_bytes
        self._unfinished.add(self._gathered - before)

    def _advance(self, event: Event) -> list[bytes] | Coroutine[Any, Any, list[bytes]]:
        commands = self._exchange.step(event)
        if self._gathered != self._exchange.gathered_bytes:
            self._count_gathered()
        first = commands[0] if commands else None
        if isinstance(first, Identify):
            identity = self._admission.identify(first)
            return self._advance(identity) if isinstance(identity, Identified) else self._resume(identity)
        if isinstance(first, Decode):
            return self._resume(_decoded(first))
        if isinstance(first, _FOR_ADMISSION):
            return self._decide(first)
        return self._perform(commands)

    async def _resume(self, event: Awaitable[Identified | Refused | Decoded]) -> list[bytes]:
        step = self._advance(await event)
        return step if isinstance(step, list) else await step

    async def _decide(self, command: Admit | Refuse | Answer) -> list[bytes]:
        if isinstance(command, Admit):
            self._undecided = command
        decision = await self._admission.decide(command)
        self._undecided = None  # frees the prompt, because the stream lives as long as the answer
        if isinstance(decision, Routed):
            self._exchange_id = decision.exchange_id
            self._on_decided()
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
        if self._exchange_id is None:
            return
        if finish == UNKNOWN_END and not self._sees_responses:
            self._ledger.stream_closed(self._exchange_id)
            return
        # A complete answer without a status had one, in headers that were not shown.
        seen = ObservedEnd(
            status=finish.status if finish.complete else finish.status or 0,
            usage=finish.usage,
            error=finish.error,
            client_left=not finish.complete,
            compressed=finish.compressed,
            output_chunks=finish.output_chunks,
            upstream=finish.upstream or "",
        )
        if finish.complete and not _is_error(finish) and (self._sees_responses or _has_usage(finish)):
            self._ledger.ended(self._exchange_id, seen)
        else:
            self._ledger.stream_closed(self._exchange_id, seen)


async def _decoded(command: Decode) -> Decoded:
    """Decode in a thread: a body that is made for it takes 250 ms per MB, without Python's lock."""
    try:
        return Decoded(await asyncio.to_thread(decode_body, *command))
    except RefusalError as error:
        return Decoded(error)


def _is_error(finish: Finish) -> bool:
    """Return whether only Envoy's access log tells if the status is a pod's, and if any pod was sent the request."""
    return finish.status is not None and finish.status >= FIRST_ERROR


def _has_usage(finish: Finish) -> bool:
    """Return whether an end in metadata mode is enough to settle by: Envoy showed us that much of the answer."""
    return finish.usage is not None or bool(finish.output_chunks)
