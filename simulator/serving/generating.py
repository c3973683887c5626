"""POST /v1/chat/completions, /v1/completions and /v1/embeddings: from body to last byte, faults included.

Lives here: requests that occupy the engine.  Not here: the other routes (http), ASGI (exchange), JSON shapes (answers).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from starlette.types import Receive, Scope, Send

from simulator.core.profile import Profile
from simulator.openai import answers, requests
from simulator.openai.answers import Shape, Usage
from simulator.openai.errors import ApiError, BusyError, DeadEngineError
from simulator.openai.requests import Order
from simulator.openai.tokens import token_count
from simulator.openai.writing import EMBEDDING_SIZE, Composition, Writer
from simulator.serving.engine import ClientGoneError, Engine, EngineDiedError, Generation, QueueFullError, Token, Work
from simulator.serving.exchange import VARY, Exchange
from simulator.serving.faults import Fault, FaultKind, Faults

STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), VARY]


@dataclass(frozen=True, slots=True)
class Desk:
    """What every generating endpoint shares.  `new_id` gives 16 hex digits."""

    engine: Engine
    writer: Writer
    faults: Faults
    new_id: Callable[[], str]

    @property
    def created(self) -> int:
        """The `created` of an answer that begins now."""
        return int(self.engine.clock())


class GeneratingEndpoint:
    """An ASGI application for one path.  Subclasses read the order and word the answer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every way to end leaves nothing running."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except ClientGoneError:
            pass
        except ApiError as error:
            await _refuse(exchange, error)
        except EngineDiedError:
            await _refuse(exchange, DeadEngineError())
        except QueueFullError:
            await _refuse(exchange, BusyError())

    async def _serve(self, exchange: Exchange) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def _generation(
        self, exchange: Exchange, model: str, works: Iterable[Work]
    ) -> AsyncIterator["FaultyGeneration"]:
        """The running request; on leaving, its slots are free and nobody watches the client."""
        generation = self._desk.engine.generate(model, tuple(works))
        watch = asyncio.create_task(_watch(exchange, generation), name="simulator client watch")
        try:
            faulty = FaultyGeneration(generation, exchange, self._desk)
            await faulty.before_answer()
            yield faulty
        finally:
            watch.cancel()
            generation.abort()

    def _answer_id(self, exchange: Exchange) -> str:
        return exchange.request.headers.get("x-request-id") or self._desk.new_id()


class TextEndpoint(GeneratingEndpoint):
    """Chat or completions."""

    def __init__(self, desk: Desk, shape: type[Shape], read: Callable[[object, Profile], Order]) -> None:
        super().__init__(desk)
        self._shape = shape
        self._read = read

    async def _serve(self, exchange: Exchange) -> None:
        order = self._read(await exchange.json(), self._desk.engine.profile)
        shape = self._shape(self._answer_id(exchange), self._desk.created, order.model)
        outputs = self._compose(order)
        prompts = [prompt for prompt in order.prompts for _ in range(order.n)]
        works = map(Work, prompts, outputs)
        async with self._generation(exchange, order.model, works) as generation:
            reply = _stream if order.stream else _whole
            await reply(exchange, generation, shape, order, outputs)

    def _compose(self, order: Order) -> list[Composition]:
        return [
            self._desk.writer.compose(
                prompt, order.seed + index, limit, natural_end=order.natural_end, stop=order.stop
            )
            for prompt, limit in zip(order.prompts, order.limits, strict=True)
            for index in range(order.n)
        ]  # fmt: skip


class EmbeddingEndpoint(GeneratingEndpoint):
    """Embeddings: one prefill per input."""

    async def _serve(self, exchange: Exchange) -> None:
        body = requests.validated(requests.EmbeddingBody, await exchange.json())
        profile = self._desk.engine.profile
        model = requests.served_model(body, profile)
        prompts = requests.encoded_texts(body.input)
        for prompt in prompts:
            requests.check_length(prompt, 0, profile)
        async with self._generation(exchange, model, map(Work, prompts)) as generation:
            async for _ in generation.tokens():
                pass
        vectors = [self._desk.writer.embed(prompt, body.dimensions or EMBEDDING_SIZE) for prompt in prompts]
        answer = answers.embeddings(
            self._answer_id(exchange), self._desk.created, model, vectors, sum(map(token_count, prompts)),
            as_base64=body.encoding_format == "base64",
        )  # fmt: skip
        await exchange.answer(200, answer)


class FaultyGeneration:
    """A generation with the fault that its request meets, if any."""

    def __init__(self, generation: Generation, exchange: Exchange, desk: Desk) -> None:
        self._generation = generation
        self._exchange = exchange
        self._engine = desk.engine
        self._fault = desk.faults.take()

    async def before_answer(self) -> None:
        """Do what the fault does before the first byte."""
        if not self._fault:
            return
        match self._fault.kind:
            case FaultKind.ERROR:
                raise EngineDiedError
            case FaultKind.NEVER_ANSWER:
                await self._generation.interruption()
            case FaultKind.CLOSE_IDLE:
                await self._cut()
            case FaultKind.SLOW:
                await asyncio.sleep(self._fault.delay_s)

    async def tokens(self) -> AsyncIterator[Token]:
        """The tokens as they come, until the fault strikes."""
        count = 0
        async for token in self._generation:
            if self._fault and count == self._fault.after_tokens:
                await self._strike(self._fault)
            count += 1
            yield token

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.CRASH:
                self._engine.crash(fault.delay_s)
                await self._generation.interruption()
            case FaultKind.DIE_MID_STREAM:
                raise EngineDiedError
            case FaultKind.CUT:
                await self._cut()
            case FaultKind.STALL:
                await self._generation.interruption()

    async def _cut(self) -> None:
        self._exchange.cut()
        await self._generation.interruption()  # the watch sees the connection end


class _Narration:
    """The events of one stream."""

    def __init__(self, shape: Shape, order: Order, outputs: list[Composition]) -> None:
        self._shape = shape
        self._order = order
        self._outputs = outputs
        self._open = len(outputs)

    def openings(self) -> list[bytes]:
        """What the first token brings with it."""
        usage = self._usage(0)
        return [self._shape.opening(index, usage) for index in range(len(self._outputs))]

    def event(self, token: Token) -> bytes:
        """One token."""
        output = self._outputs[token.choice]
        text, usage = output.pieces[token.position], self._usage(token.position + 1)
        if token.position + 1 < len(output.pieces):
            return self._shape.piece(token.choice, text, usage)
        self._open -= 1
        is_last = not self._open and not self._order.usage_chunk
        return self._shape.ending(token.choice, text, output, usage, is_last=is_last)

    def _usage(self, made: int) -> Usage | None:
        return Usage(self._order.prompt_tokens, made) if self._order.usage_everywhere else None


async def _stream(
    exchange: Exchange, generation: FaultyGeneration, shape: Shape, order: Order, outputs: list[Composition]
) -> None:
    """Headers at once, also while the request waits; role events with the first token; one write per event."""
    await exchange.begin(200, STREAM_HEADERS)
    narration = _Narration(shape, order, outputs)
    openings = narration.openings()
    async for token in generation.tokens():
        while openings:
            await exchange.write(openings.pop(0))
        await exchange.write(narration.event(token))
    if order.usage_chunk:
        await exchange.write(shape.usage_event(_usage(order, outputs)))
    await exchange.write(answers.DONE, last=True)


async def _whole(
    exchange: Exchange, generation: FaultyGeneration, shape: Shape, order: Order, outputs: list[Composition]
) -> None:
    async for _ in generation.tokens():
        pass
    await exchange.answer(200, shape.whole(outputs, _usage(order, outputs)))


async def _refuse(exchange: Exchange, error: ApiError) -> None:
    """An error answer; in a stream that has begun, an error event under status 200."""
    if exchange.began:
        await exchange.write(answers.error_event(error.body) + answers.DONE, last=True)
    else:
        await exchange.answer(error.status, orjson.dumps(error.body))


async def _watch(exchange: Exchange, generation: Generation) -> None:
    await exchange.gone()
    generation.put(ClientGoneError())
    generation.abort()


def _usage(order: Order, outputs: list[Composition]) -> Usage:
    return Usage(order.prompt_tokens, sum(len(output.pieces) for output in outputs))
