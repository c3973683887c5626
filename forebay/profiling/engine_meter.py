"""Measures a live engine at a load: requests to its OpenAI API, whose answers are streamed.

Lives here: sending at the times of arrivals, or so many at once.  Not here: the window that counts
(optimizer.profiling.steady), one request (simulator.calibration.streams).
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson

from optimizer.input.reading import InputError
from optimizer.profiling.points import Load, Point
from optimizer.profiling.steady import Answer, Span, Steady, gaps
from simulator.calibration.benchmark import cache_size
from simulator.calibration.streams import PROBE_WORDS, BusyError, NotMeasuredError, Prompts, Stream, client_of, stream

PROBES = 3
"""Requests before anything is measured: an engine's first ones are slower."""
PROBE_TOKENS = 40
OTHER_FILES = 100
"""Files and sockets of the process beside its connections."""
SHORTEST = 0.9
"""Part of the output tokens asked for that an answer must have."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The parts of all requests that are the same."""

    model: str
    temperature: float = 0.0
    ignores_eos: bool = True
    """Whether engines are asked to generate all tokens that are allowed."""


class EngineMeter:
    """Measures one engine that is otherwise idle."""

    def __init__(self, client: httpx.AsyncClient, asking: Asking, span: Span, prompts: Prompts, seed: int = 0) -> None:
        self._client = client
        self._asking = asking
        self._prompts = prompts
        self.span = span
        self.seed = seed
        self._clock = asyncio.get_running_loop().time

    async def prepare(self) -> Mapping[str, Any]:
        """Warm the engine up, learn what prompts it takes, and return what it says of itself.

        Raises NotMeasuredError and httpx.HTTPError.
        """
        for _ in range(PROBES):
            probe = await self._ask(self._prompts.of_words(PROBE_WORDS), 4)
            self._prompts.tokens_per_word = probe.prompt_tokens / PROBE_WORDS
        self._prompts.has_ids = not self._prompts.is_text and await self._takes_ids()
        about: dict[str, Any] = {}
        if size := await cache_size(self._client):
            about["kv_tokens"] = size[0] * size[1]
        if (most := await self._max_model_len()) is not None:
            about["max_model_len"] = most
        return about

    async def _takes_ids(self) -> bool:
        try:
            return (await self._ask(self._prompts.ids(PROBE_TOKENS), 4)).prompt_tokens == PROBE_TOKENS
        except NotMeasuredError:
            return False

    async def _max_model_len(self) -> int | None:
        answer = await self._client.get("/v1/models")
        models = answer.json().get("data", ()) if answer.status_code == httpx.codes.OK else ()
        found = [each.get("max_model_len") for each in models if each.get("id") == self._asking.model]
        return found[0] if found else None

    async def _ask(self, prompt: str | list[int], output_tokens: int) -> Stream:
        body: dict[str, Any] = {
            "model": self._asking.model, "prompt": prompt, "max_tokens": output_tokens,
            "temperature": self._asking.temperature,
        }  # fmt: skip
        if self._asking.ignores_eos:
            body["ignore_eos"] = True
        return await stream(self._client, body, self._clock)

    async def measure(self, load: Load) -> Point:
        """Return the measures.  Raises NotMeasuredError and httpx.HTTPError; what is in flight then is given up."""
        return await _Run(self, load).measured()

    async def answer(self, load: Load, begun_s: float) -> Answer:
        """Return the times of one request of a load, from `begun_s` on."""
        found = await self._ask(self._prompts.of_tokens(load.input_tokens), load.output_tokens)
        if self._asking.ignores_eos and found.output_tokens < SHORTEST * load.output_tokens:
            wanted = f"{found.output_tokens} of {load.output_tokens} tokens"
            raise NotMeasuredError(f"an answer has {wanted}: the engine does not know ignore_eos")
        sent_s, first_s, ended_s = (at_s - begun_s for at_s in (found.sent_s, found.chunks_s[0], found.chunks_s[-1]))
        return Answer(sent_s, first_s, ended_s, found.output_tokens)


class _Run:
    def __init__(self, meter: EngineMeter, load: Load) -> None:
        self._meter = meter
        self._load = load
        self._clock = asyncio.get_running_loop().time
        self._steady = Steady(load, meter.span)
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun_s = self._clock()

    async def measured(self) -> Point:
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send_all(group))
                await self._over.wait()
                for task in (sender, *self._tasks):
                    task.cancel()
        except* (NotMeasuredError, httpx.HTTPError) as errors:
            raise _first(errors) from None
        return self._steady.point(self._clock() - self._begun_s)

    async def _send_all(self, group: asyncio.TaskGroup) -> None:
        """Send so many at once, each of which is followed by another; or at the times of arrivals."""
        if self._load.concurrency is not None:
            for _ in range(self._load.concurrency):
                self._send(group)
            return
        at_s = self._begun_s
        for gap in gaps(self._load.rate, Random(self._meter.seed)):  # noqa: S311 - no secret
            at_s += gap
            await asyncio.sleep(at_s - self._clock())
            self._send(group)
            self._look()

    def _send(self, group: asyncio.TaskGroup) -> None:
        self._steady.sent()
        task = group.create_task(self._request(group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _request(self, group: asyncio.TaskGroup) -> None:
        try:
            answer = await self._meter.answer(self._load, self._begun_s)
        except BusyError:
            self._steady.refused()
            if self._steady.has_only_refusals:
                raise
            return
        self._steady.ended(answer)
        self._look()
        if self._load.concurrency is not None and not self._over.is_set():
            self._send(group)

    def _look(self) -> None:
        if self._steady.is_over(self._clock() - self._begun_s):
            self._over.set()


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


@asynccontextmanager
async def engine_meter(
    url: str, api_key: str, asking: Asking, span: Span, prompts: Prompts, *, seed: int = 0
) -> AsyncIterator[tuple[EngineMeter, Mapping[str, Any]]]:
    """Yield the meter of an engine at a URL, and what the engine says of itself.

    Raises OSError for an engine that does not answer as it should, also within the block.
    """
    files = _allow_connections()
    span = replace(span, most_in_flight=min(span.most_in_flight, files))
    try:
        async with client_of(url, api_key) as client:
            meter = EngineMeter(client, asking, span, prompts, seed)
            yield meter, await meter.prepare()
    except (NotMeasuredError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"{url}: {error or type(error).__name__}") from error


def prompts_of(workload: Path | None) -> Prompts:
    """Return prompts cut from a text, else random ones.  Raises InputError for a text without words."""
    return Prompts() if workload is None else Prompts(_words_of(workload), is_text=True)


def _words_of(file: Path) -> Sequence[str]:
    """Return the words of a text, or of the `prompt`s of JSON lines.  Raises InputError."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from error
    words = [word for line in lines for word in _prompt_of(line).split()]
    if not words:
        raise InputError([f"{file}: has no words"])
    return words


def _prompt_of(line: str) -> str:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    return str(row["prompt"]) if isinstance(row, dict) and "prompt" in row else line


def _allow_connections() -> int:
    """Let this process open as many files as it may; return how many connections that are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most - OTHER_FILES
