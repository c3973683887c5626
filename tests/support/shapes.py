"""Recorded HTTP answers, and the shape of JSON: keys in order and types, without values."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The events of a stream; `[DONE]` stays text."""
        return events(self.body)


def read_recording(path: Path) -> Answer:
    """A raw HTTP/1.1 answer."""
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if headers.get("transfer-encoding") == "chunked":
        body = _dechunked(body)
    return Answer(int(status_line.split()[1]), headers, body)


def events(body: bytes) -> list[Any]:
    """Server-sent events whose data is JSON or `[DONE]`."""
    lines = body.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines), lines
    data = [line.removeprefix("data: ") for line in lines]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def named_events(body: bytes) -> list[tuple[str, Any]]:
    """Server-sent events that have a name, with their data."""
    lines = body.decode().strip().split("\n\n")
    split = [event.strip().split("\n") for event in lines]
    assert all(name.startswith("event: ") and data.startswith("data: ") for name, data in split), split
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in split]


def shape(value: Any) -> Any:
    """Keys in their order and JSON types, recursively; a list is the shapes it holds, repetitions dropped."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return runs([shape(inner) for inner in value])
    return type(value).__name__ if value != "[DONE]" else value


def runs(items: list[Any]) -> list[Any]:
    """`items` with neighbouring repetitions dropped."""
    return [item for index, item in enumerate(items) if index == 0 or item != items[index - 1]]


def _dechunked(body: bytes) -> bytes:
    pieces = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        pieces.append(rest[:length])
        body = rest[length + 2 :] if length else b""
    return b"".join(pieces)
