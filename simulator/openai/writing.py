"""Generated text: deterministic, its length known before the first token.

Lives here: text, length and finish reason.  Not here: when the tokens come (core.engine, serving.async_engine), forms
that the client demands (structured), which functions are called (tools).
"""

import random
import struct
import zlib
from collections.abc import Sequence as Series
from dataclasses import dataclass

import orjson

from simulator.openai.instances import instance
from simulator.openai.structured import Maker
from simulator.openai.tools import Function

PIECES = (
    " the", " a", " of", " and", " to", " in", " is", " it", " water", " wheel", " gate", " river", " turns",
    " holds", " slow", " fast", " stream", " power", " level", " basin", ",", ".", "\n", " \"quoted\"", " naïve",
    " 水", " 🌊", "",
)  # fmt: skip
"""One token each, with quotes, newlines, characters of several bytes and a token without text, as in real streams."""

CORPUS_PIECES = 4096  # tokens of text that outputs are cut from (chosen: two requests rarely get the same)
MIN_NATURAL, MAX_NATURAL = 16, 64  # output tokens of a request that names no maximum (chosen)

PIECE_CHARACTERS = 4  # of JSON in one token (chosen: near English's average in common vocabularies)

EMBEDDING_SIZE = 256  # chosen: small; `dimensions` in the request asks for another


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function: `first` is the token that names it, tokens up to `end` are its arguments."""

    name: str
    first: int
    end: int


NO_CALL = (0, None)


@dataclass(frozen=True, slots=True)
class Composition:
    """One output: a piece of text per token."""

    pieces: tuple[str, ...]
    finish_reason: str  # stop | length | tool_calls
    stop_reason: str | None = None  # the stop string at which it ended
    calls: tuple[Call, ...] = ()
    """Calls of functions; an output has these or text."""

    @property
    def text(self) -> str:
        """The whole text; empty for calls."""
        return "" if self.calls else "".join(self.pieces)

    def arguments(self, call: Call) -> str:
        """Return the arguments of a call as JSON text."""
        return "".join(self.pieces[call.first : call.end])

    def call_at(self, position: int) -> tuple[int, Call | None]:
        """Return number and call that a token belongs to; None = it is text."""
        found = ((number, call) for number, call in enumerate(self.calls) if call.first <= position < call.end)
        return next(found, NO_CALL)


class Writer:
    """Generates outputs; the same for the same seed, prompt and choice."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311  # reproducible text, no secret
        self._seed = seed
        self._corpus = tuple(rng.choices(PIECES, k=CORPUS_PIECES))

    def compose(
        self, prompt: bytes, choice: int, limit: int, *, natural_end: bool, stop: Series[str] = ()
    ) -> Composition:
        """Return an output of `limit` tokens, or, with `natural_end`, of at most so many.

        A maximum that the client names is always reached, as by the recorded model, whose weights were random: a test
        that needs 200 tokens asks for 200.
        """
        draw = zlib.crc32(prompt, self._seed + choice)
        natural = MIN_NATURAL + draw % (MAX_NATURAL - MIN_NATURAL + 1) if natural_end else limit
        length = min(limit, natural)
        start = draw % CORPUS_PIECES
        turns = (start + length) // CORPUS_PIECES + 1
        pieces = (self._corpus * turns)[start : start + length]
        return _cut(pieces, stop) or Composition(pieces, "stop" if natural_end and natural <= limit else "length")

    def fill(self, prompt: bytes, choice: int, limit: int, form: Maker, *, stop: Series[str] = ()) -> Composition:
        """Return an output of a form that the client demands, cut off after `limit` tokens."""
        pieces = _pieces(form(self._rng(prompt, choice)))
        shown = pieces[:limit]
        return _cut(shown, stop) or Composition(shown, "length" if len(pieces) > limit else "stop")

    def call(self, prompt: bytes, choice: int, limit: int, functions: Series[Function], finish: str) -> Composition:
        """Return an output that calls these functions, with arguments by their schemas; `finish` is its reason."""
        rng = self._rng(prompt, choice)
        pieces: list[str] = []
        calls: list[Call] = []
        for function in functions:
            first = len(pieces)
            pieces += ["", *_pieces(orjson.dumps(instance(function.parameters, rng)).decode())]
            calls.append(Call(function.name, first, min(len(pieces), limit)))
        kept = tuple(call for call in calls if call.first < limit)
        return Composition(tuple(pieces[:limit]), "length" if len(pieces) > limit else finish, calls=kept)

    def _rng(self, prompt: bytes, choice: int) -> random.Random:
        return random.Random(zlib.crc32(prompt, self._seed + choice))  # noqa: S311  # reproducible text, no secret

    def embed(self, prompt: bytes, size: int) -> bytes:
        """Return a vector of `size` 32-bit floats in [-1, 1], little-endian."""
        rng = random.Random(zlib.crc32(prompt, self._seed))  # noqa: S311  # reproducible vector, no secret
        return struct.pack(f"<{size}f", *(rng.uniform(-1, 1) for _ in range(size)))


def _pieces(text: str) -> tuple[str, ...]:
    """Return a text in tokens, at least one."""
    starts = range(0, max(1, len(text)), PIECE_CHARACTERS)
    return tuple(text[start : start + PIECE_CHARACTERS] for start in starts)


def _cut(pieces: tuple[str, ...], stop: Series[str]) -> Composition | None:
    """Return the output up to its first stop string, whose tokens count but have no text; None = there is none."""
    text = "".join(pieces)
    found = [(text.index(word), word) for word in stop if word and word in text]
    if not found:
        return None
    at, word = min(found)
    shown: list[str] = []
    position = 0
    for piece in pieces:
        shown.append(piece[: max(0, at - position)])
        position += len(piece)
        if position >= at + len(word):
            break
    return Composition(tuple(shown), "stop", word)
