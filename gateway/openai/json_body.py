"""Parsing a JSON body, after a look at what it holds: the time and memory that a parse takes are bounded by its values.

Lives here: the most that a body may hold.  Not here: what its fields mean (request, prompt).

Building a list or an object takes a hundred times as long as reading its two bytes, so that a few megabytes of `[1],`
would stop all other requests for seconds.  Counting commas, quotes and brackets takes 1 to 3 ms per MB.
"""

from typing import Any, Final

import orjson

from gateway.openai.errors import BadRequestError

MAX_CONTAINERS: Final = 50_000
"""Objects and lists of a body at most: they take some 0.1 us each to build (chosen; a conversation of 4,096 messages
with two tool calls each has 30,000)."""
MAX_STRINGS: Final = 100_000
"""Strings of a body at most, keys included: some 0.05 us each (chosen; such a conversation has 80,000)."""
MAX_VALUES: Final = 2**20
"""Commas of a body at most, which separate values: some 0.02 us each (chosen: a prompt of a million token ids)."""
FEW_VALUES: Final = 2**18
"""As many commas are allowed in any body; of more there may be one in BYTES_PER_VALUE bytes."""
BYTES_PER_VALUE: Final = 3
"""Real token ids have four digits and a comma; those of a vocabulary of bytes three digits (chosen)."""
_PIECE_BYTES: Final = 2**16


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; of a repeated key the last counts, as it does in engines written in Python.

    Raises BadRequestError.
    """
    if len(body) > MAX_CONTAINERS and (marks := _count(body, b'[{",')) > MAX_CONTAINERS:
        _check_counts(body, marks)
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # `from None`: the cause would keep the body, and so the prompt, alive in tracebacks.
        raise BadRequestError(f"body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequestError("body must be a JSON object")
    return fields


def _check_counts(body: bytes, marks: int) -> None:
    """Refuse a body that holds too much.  What stands inside strings counts only if all of it together is too much.

    `marks` is the number of brackets, quotes and commas.
    """
    most = min(MAX_VALUES, max(FEW_VALUES, len(body) // BYTES_PER_VALUE))
    quotes = body.count(b'"')  # of which the first of each string follows no backslash
    if quotes <= 2 * MAX_STRINGS or quotes - body.count(rb"\"") <= MAX_STRINGS:
        if marks - quotes <= MAX_CONTAINERS:
            return
        containers = _count(body, b"[{")
        if containers <= MAX_CONTAINERS and marks - quotes - containers <= most:
            return
    bare = body  # of which every quote begins or ends a string
    if b"\\" in body:  # far quicker to tell than to replace nothing
        bare = body.replace(rb"\\", b"").replace(rb"\"", b"")
    _check("strings", bare.count(b'"') // 2, MAX_STRINGS)
    outside = b"".join(bare.split(b'"')[::2])
    _check("objects and lists", _count(outside, b"[{"), MAX_CONTAINERS)
    _check("commas between values", outside.count(b","), most)


def _check(what: str, number: int, most: int) -> None:
    if number > most:
        raise BadRequestError(f"body = {number} {what}, must be at most {most}")


def _count(text: bytes, marks: bytes) -> int:
    """Return how many bytes of the text are among `marks`.

    In pieces, whose copies stay in the processor's cache: fresh memory for a copy of 16 MB takes longer than the rest.
    """
    starts = range(0, len(text), _PIECE_BYTES)
    return len(text) - sum([len(text[at : at + _PIECE_BYTES].translate(None, marks)) for at in starts])
