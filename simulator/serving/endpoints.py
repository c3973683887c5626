"""POST to the paths that generate, such as /v1/chat/completions: from body to last byte, faults included.

Lives here: requests that occupy the engine.  Not here: the other routes (routes, control), ASGI (exchange), JSON bodies
(simulator.openai.responses).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from simulator.core.profile import Profile
from simulator.openai import requests, responses
from simulator.openai.errors import ApiError, BusyError, DeadEngineError
from simulator.openai.requests import GenerationRequest
from simulator.openai.responses import EventStream, Shape, Usage
from simulator.openai.tokens import token_count
from simulator.openai.writing import EMBEDDING_SIZE, Composition, Writer
from simulator.serving.async_engine import (
    AsyncEngine,
    Choice,
    ClientGoneError,
    EngineDiedError,
    Generation,
    QueueFullError,
    Token,
)
from simulator.serving.exchange import VARY, Exchange
from simulator.serving.faults import Fault, FaultKind, Faults
from simulator.serving.json_responses import ERROR_BODY

STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), VARY]


@dataclass(frozen=True, slots=True)
class EndpointContext:
    """The objects that the generating endpoints of one engine share.  `new_id` returns 16 hex digits."""

    engine: AsyncEngine
    writer: Writer
    faults: Faults
    new_id: Callable[[], str]

    @property
    def created(self) -> int:
        """Unix time in whole seconds, for the field `created` of a response that begins now."""
        return int(self.engine.clock())


class GeneratingEndpoint:
    """An ASGI application for one path.  Subclasses parse the request and write the response."""

    def __init__(
        self, context: EndpointContext, error_body: Callable[[ApiError], Mapping[str, Any]] = ERROR_BODY
    ) -> None:
        self._context = context
        self._error_body = error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.  Whichever way it ends, nothing is left running on the engine."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except ClientGoneError:
            pass
        except ApiError as error:
            await self._refuse(exchange, error)
        except EngineDiedError:
            await self._refuse(exchange, DeadEngineError())
        except QueueFullError:
            await self._refuse(exchange, BusyError())

    async def _serve(self, exchange: Exchange) -> None:
        raise NotImplementedError

    async def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        await exchange.answer(error.status, orjson.dumps(self._error_body(error)))

    @asynccontextmanager
    async def _generation(
        self, exchange: Exchange, model: str, choices: Iterable[Choice]
    ) -> AsyncIterator["FaultyGeneration"]:
        """Run a request inside the block; leaving it frees the engine and stops watching the client."""
        generation = self._context.engine.generate(model, tuple(choices))
        watch = asyncio.create_task(_watch(exchange, generation), name="simulator client watch")
        try:
            faulty = FaultyGeneration(generation, exchange, self._context)
            await faulty.before_answer()
            yield faulty
        finally:
            watch.cancel()
            generation.abort()

    def _answer_id(self, exchange: Exchange) -> str:
        return exchange.request.headers.get("x-request-id") or self._context.new_id()


class TextEndpoint(GeneratingEndpoint):
    """Text by any of the APIs."""

    def __init__(
        self,
        context: EndpointContext,
        shape: type[Shape],
        read: Callable[[object, Profile], GenerationRequest],
        error_body: Callable[[ApiError], Mapping[str, Any]] = ERROR_BODY,
    ) -> None:
        super().__init__(context, error_body)
        self._shape = shape
        self._read = read

    async def _serve(self, exchange: Exchange) -> None:
        request = self._read(await exchange.json(), self._context.engine.profile)
        shape = self._shape(
            self._answer_id(exchange), self._context.created, request.model, request.logprobs, request.told
        )
        outputs = self._compose(request)
        prompts = [prompt for prompt in request.prompts for _ in range(request.n)]
        choices = map(Choice, prompts, outputs)
        async with self._generation(exchange, request.model, choices) as generation:
            if request.stream:
                await _stream(exchange, generation, shape.events(request, outputs), request, outputs)
            else:
                await _whole(exchange, generation, shape, request, outputs)

    def _compose(self, request: GenerationRequest) -> list[Composition]:
        return [
            self._one(request, prompt, request.seed + index, limit)
            for prompt, limit in zip(request.prompts, request.limits, strict=True)
            for index in range(request.n)
        ]  # fmt: skip

    def _one(self, request: GenerationRequest, prompt: bytes, choice: int, limit: int) -> Composition:
        writer = self._context.writer
        if request.functions:
            return writer.call(prompt, choice, limit, request.functions, request.finish)
        if request.form is not None:
            return writer.fill(prompt, choice, limit, request.form, stop=request.stop)
        return writer.compose(prompt, choice, limit, natural_end=request.natural_end, stop=request.stop)


class EmbeddingEndpoint(GeneratingEndpoint):
    """Embeddings: one prefill for each input, no decode."""

    async def _serve(self, exchange: Exchange) -> None:
        body = requests.validated(requests.EmbeddingBody, await exchange.json())
        profile = self._context.engine.profile
        model = requests.served_model(body, profile)
        prompts = requests.encoded_texts(body.input)
        for prompt in prompts:
            requests.check_length(prompt, 0, profile)
        async with self._generation(exchange, model, map(Choice, prompts)) as generation:
            async for _ in generation.tokens():
                pass
        vectors = [self._context.writer.embed(prompt, body.dimensions or EMBEDDING_SIZE) for prompt in prompts]
        answer = responses.embeddings(
            self._answer_id(exchange), self._context.created, model, vectors, sum(map(token_count, prompts)),
            as_base64=body.encoding_format == "base64",
        )  # fmt: skip
        await exchange.answer(200, answer)


class FaultyGeneration:
    """A generation with the fault that applies to its request, if any."""

    def __init__(self, generation: Generation, exchange: Exchange, context: EndpointContext) -> None:
        self._generation = generation
        self._exchange = exchange
        self._engine = context.engine
        self._fault = context.faults.take()

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens of the first choice that were found in the cache, once it has begun."""
        return self._generation.sequences[0].cached_tokens

    async def before_answer(self) -> None:
        """Apply a fault that acts before the first byte."""
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
        """Yield the tokens as they come, until the fault acts."""
        count = 0
        async for token in self._generation:
            if self._fault and count == self._fault.after_tokens:
                await self._apply(self._fault)
            count += 1
            yield token

    async def _apply(self, fault: Fault) -> None:
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
        await self._generation.interruption()  # `_watch` notices that the connection has closed


async def _stream(
    exchange: Exchange,
    generation: FaultyGeneration,
    events: EventStream,
    request: GenerationRequest,
    outputs: list[Composition],
) -> None:
    """Stream a response: headers at once, even while the request waits; opening events with the first token.

    Each event is a write of its own, as in vLLM.
    """
    await exchange.begin(200, STREAM_HEADERS)
    try:
        is_open = False
        async for token in generation.tokens():
            for event in () if is_open else events.openings(_usage(request, (), generation)):
                await exchange.write(event)
            is_open = True
            if event := events.event(token.choice, token.position):
                await exchange.write(event)
        closings = events.closings(_usage(request, outputs, generation))
    except EngineDiedError:
        closings = events.failure(DeadEngineError())
    for event in closings[:-1]:
        await exchange.write(event)
    await exchange.write(closings[-1], last=True)


async def _whole(
    exchange: Exchange,
    generation: FaultyGeneration,
    shape: Shape,
    request: GenerationRequest,
    outputs: list[Composition],
) -> None:
    async for _ in generation.tokens():
        pass
    await exchange.answer(200, shape.whole(outputs, _usage(request, outputs, generation)))


async def _watch(exchange: Exchange, generation: Generation) -> None:
    await exchange.gone()
    generation.put(ClientGoneError())
    generation.abort()


def _usage(request: GenerationRequest, outputs: Iterable[Composition], generation: FaultyGeneration) -> Usage:
    generated = sum(len(output.pieces) for output in outputs)
    return Usage(request.prompt_tokens, generated, generation.cached_tokens)
