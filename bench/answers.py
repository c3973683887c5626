"""Answers in ext_proc mode: milliseconds for which one megabyte of an answer holds the event loop, by its shape.

Lives here: the family of shapes, and the measurement from pieces of the body to what the client gets.  Not here: tables
(report).
"""

import time
from collections.abc import Callable

from bench.messages import CHUNK_BYTES, REPEATS, MessageSample
from gateway.extproc.events import ResponseHeaders
from gateway.extproc.response import ResponseReader

MEGABYTE = 1 << 20
_STREAM, _JSON = "text/event-stream", "application/json"
_EVENT = (
    b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"m",%b"choices":[{"index":0,'
    b'"delta":{"content":" test"},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
)
_USAGE = b'"usage":{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3},'
_HEAD = b'{"model":"m","usage":{"prompt_tokens":1},"choices":'

SHAPES: dict[str, tuple[str, bytes, bytes, bytes]] = {
    "events of vLLM": (_STREAM, b"", _EVENT % b"", b""),
    "events with usage in each": (_STREAM, b"", _EVENT % _USAGE, b""),
    "empty events": (_STREAM, b"", b"data: {}\n\n", b""),
    "comments": (_STREAM, b"", b":\n\n", b""),
    "blank lines": (_STREAM, b"", b"\n", b""),
    "carriage returns": (_STREAM, b"", b"\r", b""),
    "one event of many lines": (_STREAM, b"", b"data: a\n", b""),
    "one long event": (_STREAM, b'data: "', b"a", b'"\n\n'),
    "one text": (_JSON, _HEAD + b'"', b"a ", b'"}'),
    "embeddings": (_JSON, _HEAD + b"[", b"0.123456,", b"1]}"),
}
"""Content type, beginning, a unit that fills the answer, end."""
READERS = {"as it is": (False, ""), "usage hidden": (True, ""), "model renamed": (True, "another")}
"""Whether the usage chunk is hidden, and the model that the client sees, if not the engine's."""


def measure_answers(progress: Callable[[str], None]) -> dict[str, tuple[MessageSample, ...]]:
    """Measure, by reader; takes a second."""
    progress("answers in ext_proc mode")
    return {
        name: tuple(MessageSample(shape, 1, _ms(shape, *reader)) for shape in SHAPES)
        for name, reader in READERS.items()
    }


def _ms(shape: str, hide_usage: bool, model: str) -> float:
    content_type, beginning, unit, end = SHAPES[shape]
    body = beginning + unit * ((MEGABYTE - len(beginning) - len(end)) // len(unit)) + end
    pieces = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
    return min(_read_ms(content_type, pieces, hide_usage, model) for _ in range(REPEATS))


def _read_ms(content_type: str, pieces: list[bytes], hide_usage: bool, model: str) -> float:
    headers = ResponseHeaders({":status": "200", "content-type": content_type})
    reader = ResponseReader(headers, hide_usage=hide_usage, model=model)
    started_s = time.thread_time()
    for number, piece in enumerate(pieces, 1):
        reader.feed(piece, end=number == len(pieces))
    reader.finish(complete=True)
    return (time.thread_time() - started_s) * 1000
