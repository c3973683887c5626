"""The workloads that every variant is measured with: request sizes, answers, arrival patterns.

Lives here: the requests and how they arrive.  Not here: sending them (load), answering them (backend).
"""

from dataclasses import dataclass
from enum import StrEnum

import orjson

MODEL = "bench-model"
USER = "bench"
CHUNKS = 200
"""Server-sent events of a stream, one token each."""
CHUNK_PACE_S = 0.02
"""Seconds from one event to the next."""
STREAM_S = CHUNKS * CHUNK_PACE_S
SOON_S = 0.5
"""Seconds that a request of a burst takes."""

ANSWER_HEADER = "x-bench-answer"
"""The header by which a request chooses the backend's answer, so that the backend need not read the body."""


class Answer(StrEnum):
    """The answers of the backend."""

    NOW = "now"  # one JSON body at once
    SOON = "soon"  # the same after SOON_S, so that requests of a burst run at the same time
    SLOW = "slow"  # the same after STREAM_S, for the cost of a stream without its chunks
    STREAM = "stream"  # CHUNKS server-sent events, one per CHUNK_PACE_S


class Shape(StrEnum):
    """How requests arrive."""

    SATURATE = "saturate"  # CONNECTIONS at a time, each answer followed by the next request
    STAGGER = "stagger"  # STREAMS requests, their starts spread evenly over SPREAD_S
    PACE = "pace"  # RATE requests per second, whether or not earlier ones have been answered


CONNECTIONS = 32
STREAMS = 100
SPREAD_S = 1.0
RATE = 200


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of request and how it arrives."""

    name: str
    title: str
    answer: Answer
    shape: Shape
    prompt_bytes: int
    connections: int = CONNECTIONS

    def request(self) -> bytes:
        """Return the encoded HTTP request."""
        body = _body(self.prompt_bytes, stream=self.answer is Answer.STREAM)
        lines = (
            "POST /v1/chat/completions HTTP/1.1",
            "host: bench",
            "content-type: application/json",
            f"user: {USER}",
            f"{ANSWER_HEADER}: {self.answer}",
            f"content-length: {len(body)}",
        )
        return "\r\n".join((*lines, "", "")).encode() + body


def _body(prompt_bytes: int, *, stream: bool) -> bytes:
    text = ("Say this is a test! " * (prompt_bytes // 20 + 1))[:prompt_bytes]
    fields = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": CHUNKS}
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return orjson.dumps(fields | options)


SMALL = Workload("small", "200-byte prompt", Answer.NOW, Shape.SATURATE, 200)
LARGE = Workload("large", "30 KB prompt", Answer.NOW, Shape.SATURATE, 30 * 1024)
SLOW = Workload("slow", f"not streamed, answered after {STREAM_S:g} s", Answer.SLOW, Shape.STAGGER, 200)
STREAM = Workload("stream", f"{CHUNKS} chunks, one per {CHUNK_PACE_S * 1000:g} ms", Answer.STREAM, Shape.STAGGER, 200)
LATENCY = Workload("latency", f"{RATE} requests per second", Answer.NOW, Shape.PACE, 200)
DOUBLE = Workload("double", "200-byte prompt, twice the load", Answer.NOW, Shape.SATURATE, 200, 2 * CONNECTIONS)
HUGE_PROMPT_BYTES = 420_000
"""A prompt of 100,000 tokens, by the 4.2 bytes a token of English text (chosen)."""
HUGE = Workload("huge", "100,000-token prompt", Answer.NOW, Shape.PACE, HUGE_PROMPT_BYTES)
MEGABYTE = Workload("megabyte", "prompts of 1 MB", Answer.NOW, Shape.PACE, 1 << 20)
BURST = Workload("burst", "requests that come at once", Answer.SOON, Shape.SATURATE, 200)
WORKLOADS = (SMALL, DOUBLE, LARGE, SLOW, STREAM, LATENCY)
