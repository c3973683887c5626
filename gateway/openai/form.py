"""The form that audio arrives in: multipart/form-data (RFC 7578), read for the few text fields we need.

Lives here: delimiters, part headers, limits.  Not here: what the fields mean (request).
The bytes are cut at the delimiters of RFC 2046 section 5.1.1 and each part's header goes through the standard
library's parser; that parser alone would take the whole recording apart line by line.
"""

from email.message import Message
from email.parser import BytesHeaderParser

from gateway.openai.errors import BadRequestError

MAX_PARTS = 100
"""Forms with more are refused; OpenAI's audio form has about ten fields."""

MAX_PART_HEADER_BYTES = 8192
"""Longer part headers are refused; chosen, as web servers do for theirs."""

_TRUE = frozenset({"true", "t", "1", "on", "yes", "y"})
"""What vLLM's form model takes for true."""


def parse_form(content_type: str, body: bytes) -> dict[str, str | bool]:
    """The fields `model`, `prompt` and `stream` of an audio form, those that are there; the last of a name counts.

    Raises BadRequestError, also when there is no `file`.
    """
    fields: dict[str, str | bool] = {}
    names = set()
    for part in _parts(_boundary(content_type), body):
        name, value = _field(part)
        names.add(name)
        if name in ("model", "prompt"):
            fields[name] = value.decode("utf-8", "replace")
        elif name == "stream":
            fields[name] = value.strip().decode("ascii", "replace").lower() in _TRUE
    if "file" not in names:
        raise BadRequestError("file = missing, must be given", param="file")
    return fields


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["content-type"] = "".join(c for c in content_type if c.isprintable())
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise BadRequestError("content-type must be multipart/form-data with a boundary")
    return boundary.encode("utf-8", "replace")


def _parts(boundary: bytes, body: bytes) -> list[bytes]:
    """What stands between the delimiters, each piece still with the rest of its delimiter's line.

    One delimiter more than there are parts: the closing one, which goes on with `--`.
    """
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 1)
    closing = next((at for at, piece in enumerate(pieces) if at and piece.startswith(b"--")), None)
    if closing is None:
        raise BadRequestError(f"body must be a form of at most {MAX_PARTS} parts that ends with its boundary")
    return pieces[1:closing]


def _field(part: bytes) -> tuple[str, bytes]:
    """The name and the value of one part."""
    header, separator, value = part.partition(b"\r\n\r\n")
    if not separator or len(header) > MAX_PART_HEADER_BYTES:
        raise BadRequestError(f"body must be a form whose parts have headers of at most {MAX_PART_HEADER_BYTES} bytes")
    parsed = BytesHeaderParser().parsebytes(header.lstrip(b" \t\r\n"))
    name = parsed.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise BadRequestError("body must be a form whose parts have names")
    return name, value
