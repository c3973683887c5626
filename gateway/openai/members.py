"""Changing one member of a JSON object that is there as bytes: every other byte stays as it was.

Lives here: finding the member, and putting the new value into its place.  Not here: what is changed and why
(stream_usage).
Parsing a body and writing it anew would change it: numbers lose digits (2^64 becomes 1.8e19), repeated keys disappear,
escapes and white space change.  A parser that tells where values stand costs up to 250 ms per MB, so members are found
by searches, which cost 4 to 19 ms per MB by the number of strings in it.
"""

import re
from collections.abc import Sequence
from json import JSONDecodeError, JSONDecoder

_GAP = re.compile(r"[ \t\n\r:]*")
"""White space and colon between a key and its value."""

_SCANNER = JSONDecoder(parse_int=str, parse_float=str, strict=False)
"""Finds the end of a value.  Numbers stay text: Python refuses to convert integers of more than 4,300 digits."""

MAX_MENTIONS = 1000
"""Mentions of the member's name in quotes that a body may have; chosen: each mention costs about 1 us."""

MAX_VALUE = 64 * 1024
"""Characters of a value that is changed; chosen: finding the end of a value costs up to 80 ms per MB."""


class MemberNotFoundError(Exception):
    """The member cannot be located within MAX_MENTIONS and MAX_VALUE."""


def insert_member(body: bytes, name: str, value: str) -> bytes:
    """Return `body`, a JSON object that is not empty, with one more member in front.  `value` is JSON."""
    inside = body.index(b"{") + 1  # only white space can precede it
    return b'%b"%b":%b,%b' % (body[:inside], name.encode(), value.encode(), body[inside:])


def replace_member(body: bytes, path: Sequence[str], value: str) -> bytes:
    """Return `body`, a JSON object, with `value`, which is JSON, as its member at `path`.

    A missing member is inserted before its siblings, and what stands on the way and is no object becomes one.  Of a
    repeated key the last counts, as it does in engines written in Python.  Names must need no escapes, and a key that
    is written with escapes is not recognised.
    Raises MemberNotFoundError.
    """
    return _replaced(body.decode(), path, value).encode()


def _replaced(text: str, path: Sequence[str], value: str) -> str:
    if not path:
        return value
    if not text.lstrip().startswith("{"):
        text = "{}"
    found = _find(text, path[0])
    if found is None:
        inside = text.index("{") + 1
        comma = "" if text[_after_gap(text, inside)] == "}" else ","
        return f'{text[:inside]}"{path[0]}":{_replaced("", path[1:], value)}{comma}{text[inside:]}'
    start, end = found
    return text[:start] + _replaced(text[start:end], path[1:], value) + text[end:]


def _find(text: str, name: str) -> tuple[int, int] | None:
    """Return where the value of the last member of this name begins and ends; None = there is no such member.

    A mention of the name is a key of the object itself if it stands outside of strings and inside of one bracket only.
    """
    masked = text.replace("\\\\", "__").replace('\\"', "__")  # from here on every quote begins or ends a string
    found, depth, in_string, counted, at = None, 0, 0, 0, -1
    for _ in range(MAX_MENTIONS + 1):
        at = masked.find(f'"{name}"', at + 1)
        if at < 0:
            return None if found is None else (found, _end_of_value(text, found))
        pieces = masked[counted:at].split('"')
        outside = "".join(pieces[in_string::2])
        depth += outside.count("{") + outside.count("[") - outside.count("}") - outside.count("]")
        in_string ^= 1 - len(pieces) % 2
        counted = at
        after = at + len(name) + 2
        value = _after_gap(text, after)
        if depth == 1 and not in_string and ":" in text[after:value]:
            found = value
    raise MemberNotFoundError(f"{name} is mentioned too often")


def _end_of_value(text: str, start: int) -> int:
    try:
        return start + _SCANNER.raw_decode(text[start : start + MAX_VALUE])[1]
    except (JSONDecodeError, RecursionError):
        raise MemberNotFoundError(f"the value has more than {MAX_VALUE} characters, or is nested too deep") from None


def _after_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    assert gap is not None  # noqa: S101 - it matches the empty text
    return gap.end()
