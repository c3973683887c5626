"""What is asked of every variant, as bytes: request sizes, answer shapes, how many and how fast.

Lives here: requests and the shape of each run.  Not here: who sends them (load) and who answers (backend).
"""

from dataclasses import dataclass
from enum import StrEnum

import orjson

MODEL = "bench-model"
USER = "bench"
CHUNKS = 200
CHUNK_PACE_S = 0.02
STREAM_S = CHUNKS * CHUNK_PACE_S

ANSWER_HEADER = "x-bench-answer"
"""Tells the backend which canned answer to give, so that it need not read the body."""


class Answer(StrEnum):
    """The backend's canned answers."""

    NOW = "now"  # one JSON body at once
    SLOW = "slow"  # the same after STREAM_S: what a stream costs without its chunks
    STREAM = "stream"  # CHUNKS server-sent events, one per CHUNK_PACE_S


class Shape(StrEnum):
    """How requests arrive."""

    SATURATE = "saturate"  # CONNECTIONS at a time, each answer followed by the next request
    STAGGER = "stagger"  # STREAMS requests, their starts spread evenly over SPREAD_S
    PACE = "pace"  # RATE requests per second, whether or not the earlier ones were answered


CONNECTIONS = 32
STREAMS = 100
SPREAD_S = 1.0
RATE = 200


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request and how it arrives."""

    name: str
    title: str
    answer: Answer
    shape: Shape
    prompt_bytes: int

    def request(self) -> bytes:
        """The whole HTTP request, ready to write."""
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
WORKLOADS = (SMALL, LARGE, SLOW, STREAM, LATENCY)
