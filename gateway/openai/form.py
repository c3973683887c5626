"""The multipart form in which audio and pictures are sent (RFC 7578), parsed for the few text fields that are read.

Lives here: delimiters, part headers, limits.  Not here: what the fields mean (request).
The body is split at the delimiters of RFC 2046 section 5.1.1.  Everything here takes linear time; the standard
library's parser of header parameters, which other libraries for forms use as well, takes quadratic time.
"""

import re
from typing import Final

from gateway.openai.errors import BadRequestError

MAX_PARTS = 100
"""Parts of a form at most (chosen; OpenAI's audio form has about ten fields)."""

MAX_PART_HEADER_BYTES = 8192
"""Bytes of one part's header at most (chosen: as much as web servers accept for a request's)."""

MAX_PART_HEADER_LINES = 32
"""Lines of one part's header at most (chosen; clients send two or three)."""

MAX_PARAMETERS = 16
"""Parameters of a header that are read (chosen; RFC 7578 has `name`, `filename` and `filename*`)."""

MAX_BOUNDARY_BYTES = 70
"""Bytes of a boundary at most (RFC 2046 section 5.1.1)."""

_FOLD = re.compile(r"\r\n[ \t]+")
"""A line break inside a header (RFC 5322 section 2.2.3)."""

_PARAMETER: Final = re.compile(
    r"""(?:\s*;)+\s*([^\s;="]+)\s*=\s*(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^\s;"]*+))""", re.DOTALL
)
"""One parameter of a header: its name, and its value in quotes or without.  No two parts of it can match the same
characters, so that a text that does not match fails in linear time."""

_TRUE = frozenset({"true", "t", "1", "on", "yes", "y"})
"""Texts that mean true in lower case, as in vLLM's form model."""


def parse_form(content_type: str, body: bytes, file: str = "") -> dict[str, str | bool]:
    """Return those of the fields `model`, `prompt` and `stream` that the form has; of repeated names the last counts.

    Raises BadRequestError for a malformed form, and for one without the part that `file` names.
    """
    fields: dict[str, str | bool] = {}
    names = set()
    for part in _parts(b"\r\n--" + _boundary(content_type), body):
        name, value = _field(part)
        names.add(name)
        if name in ("model", "prompt"):
            fields[name] = value.decode("utf-8", "replace")
        elif name == "stream":
            fields[name] = value.strip().decode("ascii", "replace").lower() in _TRUE
    if file and file not in names:
        raise BadRequestError(f"{file} = missing, is required", param=file)
    return fields


def replace_field(content_type: str, body: bytes, name: str, value: str) -> bytes:
    """Return a form, which `parse_form` has read, with this value of the field of that name, repeated ones included."""
    delimiter = b"\r\n--" + _boundary(content_type)
    pieces = (b"\r\n" + body).split(delimiter)
    for at, part in enumerate(_parts(delimiter, body), start=1):
        if _field(part)[0] == name:
            header, separator, _ = part.partition(b"\r\n\r\n")
            pieces[at] = header + separator + value.encode("utf-8", "replace")
    return delimiter.join(pieces)[len(b"\r\n") :]


def _boundary(content_type: str) -> bytes:
    media_type, _, _ = content_type.partition(";")
    boundary = (_parameter(content_type, "boundary") or "").encode("utf-8", "replace")
    if media_type.strip().lower() != "multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadRequestError(
            f"content-type must be multipart/form-data with a boundary of at most {MAX_BOUNDARY_BYTES} bytes"
        )
    return boundary


def _parameter(header: str, name: str) -> str | None:
    """Return a parameter of a header's value, the first of its name among MAX_PARAMETERS; None = there is none."""
    at = header.find(";")
    for _ in range(MAX_PARAMETERS):
        found = _PARAMETER.match(header, at) if at >= 0 else None
        if found is None:
            break
        if found[1].lower() == name:
            return found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        at = found.end()
    return None


def _parts(delimiter: bytes, body: bytes) -> list[bytes]:
    """Split the body at its delimiters; each part still begins with the rest of its delimiter's line.

    There is one delimiter more than parts: the closing one, which is followed by `--`.
    """
    pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    closing = next((at for at, piece in enumerate(pieces) if at and piece.startswith(b"--")), None)
    if closing is None:
        raise BadRequestError(f"body must be a form of at most {MAX_PARTS} parts that ends with the closing boundary")
    return pieces[1:closing]


def _field(part: bytes) -> tuple[str, bytes]:
    """Return the name and the value of one part."""
    header, separator, value = part.partition(b"\r\n\r\n")
    if not separator or len(header) > MAX_PART_HEADER_BYTES or header.count(b"\n") > MAX_PART_HEADER_LINES:
        raise BadRequestError(
            f"body must be a form in which each part has a header of at most {MAX_PART_HEADER_BYTES} bytes "
            f"and {MAX_PART_HEADER_LINES} lines"
        )
    padding, *lines = _FOLD.sub(" ", header.decode("utf-8", "replace")).split("\r\n")
    for line in lines if not padding.strip(" \t") else ():
        title, _, content = line.partition(":")
        if title.strip().lower() == "content-disposition" and (name := _parameter(content, "name")) is not None:
            return name, value
    raise BadRequestError("body must be a form in which each part has a name")
