"""The names that users and keys may have (docs/contracts.md section 2).

Lives here: the rule.  Not here: where names come from (the header `user`, the admin REST, the configuration file).

A name is what people compare by eye and what one header carries, so no two names may look alike, and none may come to
us as another than was sent: HTTP strips blanks around a value and joins several headers by a comma.
"""

import unicodedata

from ratelimit.limits import MAX_NAME_BYTES

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: control, format (bidi and zero-width characters among them), surrogates, separators of lines."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))
"""Fillers and variation selectors, which show nothing although their category is that of letters and marks."""


def checked_name(name: str) -> str:
    """Return the name if a user may have it.  Raises ValueError that states the rule."""
    message = _problem_of(name)
    if message:
        raise ValueError(message)
    return name


def may_be_named(name: str) -> bool:
    """Return whether a user may have the name."""
    return not _problem_of(name)


def _problem_of(name: str) -> str:
    if name.isascii() and name.isprintable():  # nearly all of them
        is_wrong_size, is_invisible = not 0 < len(name) <= MAX_NAME_BYTES, False
    else:
        is_wrong_size = not 0 < len(name.encode(errors="replace")) <= MAX_NAME_BYTES
        is_invisible = any(unicodedata.category(c) in _INVISIBLE or c in _BLANK for c in name)
    if is_wrong_size:
        return f"must be 1 to {MAX_NAME_BYTES} bytes of UTF-8"
    if is_invisible:
        return "must not contain control, bidi or zero-width characters"
    if name != name.strip():
        return "must not begin or end with a blank"
    if "," in name:
        return "must not contain a comma"
    return ""
