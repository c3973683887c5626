"""Changing one member of a JSON object that is there as bytes: every other byte stays as it was.

Lives here: finding the member, and putting the new value into its place.  Not here: what is changed and why
(stream_usage, rewrites).
Parsing a body and writing it anew would change it: numbers lose digits (2^64 becomes 1.8e19), repeated keys disappear,
escapes and white space change.  A parser that tells where values stand costs up to 250 ms per MB, so members are found
by searches, which cost 2 to 5 ms per MB by the number of strings and escapes in it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from json import JSONDecodeError, JSONDecoder

_GAP = re.compile(rb"[ \t\n\r:]*")
"""White space and colon between a key and its value."""

_SCANNER = JSONDecoder(parse_int=str, parse_float=str, strict=False)
"""Finds the end of a value.  Numbers stay text: Python refuses to convert integers of more than 4,300 digits."""

MAX_MENTIONS = 1000
"""Mentions of the member's name in quotes that a body may have; chosen: each mention costs about 1 us."""

MAX_QUOTES = 100_000
"""Quotes around strings that a body may have; chosen: each costs some 0.03 us."""

BYTES_PER_BACKSLASH = 4
"""Bytes that a body of more than MAX_QUOTES backslashes must have for each; chosen: source code has one in ten."""

MAX_VALUE = 64 * 1024
"""Bytes of a value that is changed; chosen: finding the end of a value costs up to 80 ms per MB."""


class MemberNotFoundError(Exception):
    """The member cannot be located within the bounds above."""


def is_escaped(body: bytes, name: str) -> bool:
    """Return whether the body may have a key of this name in which letters are written as escapes, which no search for
    the name finds."""
    return b"\\u00" in body and _escaped_key(name).search(body) is not None


@lru_cache
def _escaped_key(name: str) -> re.Pattern[bytes]:
    letters = "".join(f"(?:{letter}|\\\\u00(?i:{ord(letter):02x}))" for letter in name)
    return re.compile(f'"(?!{name}"){letters}"[ \\t\\n\\r]*:'.encode())


def insert_member(body: bytes, name: str, value: str) -> bytes:
    """Return `body`, a JSON object that is not empty, with one more member in front.  `value` is JSON."""
    inside = body.index(b"{") + 1  # only white space can precede it
    return _spliced(body, inside, inside, b'"%b":%b,' % (name.encode(), value.encode()))


def find_member(body: bytes, name: str, depth: int = 1) -> tuple[int, int] | None:
    """Return where a member's value begins and ends in `body`, a JSON object or its beginning; None = there is none.

    The member is one of the object itself, or with a larger `depth` of an object so deep in it.
    Raises MemberNotFoundError, also where the value is not complete.
    """
    return _find(body, b'"%b"' % name.encode(), depth)


def replace_member(body: bytes, path: Sequence[str], value: str) -> bytes:
    """Return `body`, a JSON object, with `value`, which is JSON, as its member at `path`.

    A missing member is inserted before its siblings, and what stands on the way and is no object becomes one.  Of a
    repeated key the last counts, as it does in engines written in Python.  Names must need no escapes, and a key that
    is written with escapes is not recognised.
    Raises MemberNotFoundError.
    """
    if not path:
        return value.encode()
    if not body.lstrip().startswith(b"{"):
        body = b"{}"
    key = b'"%b"' % path[0].encode()
    found = _find(body, key)
    if found is None:
        inside = body.index(b"{") + 1
        comma = b"" if body.startswith(b"}", _after_gap(body, inside)) else b","
        return _spliced(body, inside, inside, key + b":" + replace_member(b"", path[1:], value) + comma)
    start, end = found
    return _spliced(body, start, end, replace_member(body[start:end], path[1:], value))


def _spliced(body: bytes, start: int, end: int, new: bytes) -> bytes:
    """Return the body with `new` in place of what stands from `start` to `end`; a large body is copied once."""
    view = memoryview(body)
    return b"".join((view[:start], new, view[end:]))


def _find(body: bytes, key: bytes, at_depth: int = 1) -> tuple[int, int] | None:
    """Return where the value of the last member of this key begins and ends; None = there is no such member.

    A mention of the key is one of the object itself if it stands outside of strings and inside of one bracket only.
    `at_depth`: inside of so many brackets.
    """
    masked = body  # in which every quote begins or ends a string
    if backslashes := body.count(b"\\"):
        if backslashes > max(MAX_QUOTES, len(body) // BYTES_PER_BACKSLASH):
            raise MemberNotFoundError("the body has too many backslashes")
        masked = body.replace(rb"\\", b"__").replace(rb"\"", b"__")
    if masked.count(b'"') > MAX_QUOTES:
        raise MemberNotFoundError("the body has too many strings")
    found, depth, in_string, counted, at = None, 0, 0, 0, -1
    for _ in range(MAX_MENTIONS + 1):
        at = masked.find(key, at + 1)
        if at < 0:
            return None if found is None else (found, _end_of_value(body, found))
        pieces = masked[counted:at].split(b'"')
        outside = b"".join(pieces[in_string::2])
        depth += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
        in_string ^= 1 - len(pieces) % 2
        counted = at
        after = at + len(key)
        value = _after_gap(body, after)
        if depth == at_depth and not in_string and b":" in body[after:value]:
            found = value
    raise MemberNotFoundError(f"{key.decode()} is mentioned too often")


def _end_of_value(body: bytes, start: int) -> int:
    text = body[start : start + MAX_VALUE].decode("latin-1")  # in which each byte is one character
    try:
        return start + _SCANNER.raw_decode(text)[1]
    except (JSONDecodeError, RecursionError):
        raise MemberNotFoundError(f"the value has more than {MAX_VALUE} bytes, or is nested too deep") from None


def _after_gap(body: bytes, at: int) -> int:
    gap = _GAP.match(body, at)
    assert gap is not None  # noqa: S101 - it matches the empty text
    return gap.end()
