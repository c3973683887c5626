"""Traces of requests, in published formats and our own.

Lives here: reading files.  Not here: replaying them (replay).

| recognised by | format | time |
|---|---|---|
| JSON lines | Mooncake: timestamp, input_length, output_length, hash_ids; our assignments have more keys | ms |
| column TIMESTAMP | Azure: ContextTokens, GeneratedTokens | date and time; the first is 0 |
| column arrival_s | samples from ServeGen and VTC: client_id, input_tokens, output_tokens | s |

Files whose names end in `.gz` or `.xz` are decompressed.
"""

import csv
import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

TOKENS_PER_ID = 512
"""Tokens that one of a trace's `hash_ids` stands for (Mooncake, FAST'25, trace release)."""

UNPACKED: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


class InvalidTraceError(ValueError):
    """A file is not a trace; the message says at which request and why."""


class TraceRequest(NamedTuple):
    """One request of a trace."""

    timestamp: float  # ms, as in the trace
    input_length: int  # tokens
    output_length: int  # tokens
    hash_ids: tuple[int, ...] = ()
    """One id for each TOKENS_PER_ID tokens of the prompt, the last may stand for fewer; equal ids = equal prompts up to
    there.  Empty: unknown, and nothing is reused."""
    user: str = ""


def read(path: Path) -> list[TraceRequest]:
    """Return the requests in the order of their timestamps.  Raises InvalidTraceError and OSError."""
    with UNPACKED.get(path.suffix, Path.open)(path, "rt") as lines:
        try:
            requests = list(_parsed(iter(lines)))
        except (InvalidTraceError, UnicodeDecodeError) as error:
            raise InvalidTraceError(f"{path}: {error}") from error
    return sorted(requests, key=lambda request: request.timestamp)


def block_hashes(request: TraceRequest, block_tokens: int) -> list[int]:
    """Return one hash per full block of the prompt, as far as the trace has ids.

    Raises ValueError unless TOKENS_PER_ID is a multiple of `block_tokens`.
    """
    per_id, rest = divmod(TOKENS_PER_ID, block_tokens)
    if rest:
        raise ValueError(f"block_tokens = {block_tokens}, must divide {TOKENS_PER_ID}")
    hashes = [block for hash_id in request.hash_ids for block in range(hash_id * per_id, (hash_id + 1) * per_id)]
    return hashes[: request.input_length // block_tokens]


def unknown_blocks(serial: int, count: int) -> range:
    """Return hashes that no other request has, for `count` blocks of request `serial`: outputs and unknown prompts."""
    start = -(serial + 1) << 32
    return range(start, start + count)


def _parsed(lines: Iterator[str]) -> Iterator[TraceRequest]:
    first = next(lines, "")
    rows: Iterable[Any] = chain([first], lines)
    parse: Callable[[Any], TraceRequest]
    if first.lstrip().startswith("{"):
        rows, parse = filter(str.strip, rows), _json_line
    else:
        rows = csv.DictReader(rows)
        parse = _row_parser(rows.fieldnames or ())
    for number, row in enumerate(rows, 1):
        try:
            yield _checked(parse(row))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InvalidTraceError(f"request {number}: {type(error).__name__}: {error}") from error


def _checked(request: TraceRequest) -> TraceRequest:
    if not 0 <= request.timestamp < inf or request.input_length < 1 or request.output_length < 0:
        raise ValueError("time is not negative, a prompt has at least 1 token, an answer at least 0")
    return request


def _json_line(line: str) -> TraceRequest:
    fields = json.loads(line)
    return TraceRequest(
        fields["timestamp"],
        int(fields["input_length"]),
        int(fields["output_length"]),
        tuple(map(int, fields.get("hash_ids") or ())),
        str(fields.get("user", "")),
    )


def _row_parser(header: Sequence[str]) -> Callable[[Mapping[str, str]], TraceRequest]:
    if "arrival_s" in header:
        return _client_row
    if "TIMESTAMP" in header:
        return _AzureRows().request
    raise InvalidTraceError("neither JSON lines nor a table with a column TIMESTAMP or arrival_s")


def _client_row(row: Mapping[str, str]) -> TraceRequest:
    arrival_ms = round(float(row["arrival_s"]) * 1000, 3)
    return TraceRequest(arrival_ms, int(row["input_tokens"]), int(row["output_tokens"]), user=row["client_id"])


class _AzureRows:
    """Parses rows of Azure's traces.  Times count from the first row, which is the earliest."""

    def __init__(self) -> None:
        self._start: datetime | None = None

    def request(self, row: Mapping[str, str]) -> TraceRequest:
        now = datetime.fromisoformat(row["TIMESTAMP"][:26])  # 7 digits of fraction; datetime knows 6
        self._start = self._start or now
        elapsed_ms = round((now - self._start).total_seconds() * 1000, 3)
        return TraceRequest(elapsed_ms, int(row["ContextTokens"]), int(row["GeneratedTokens"]))
