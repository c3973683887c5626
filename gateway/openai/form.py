"""The multipart form in which audio is sent (RFC 7578), parsed for the few text fields that the gateway reads.

Lives here: delimiters, part headers, limits.  Not here: what the fields mean (request).
The body is split at the delimiters of RFC 2046 section 5.1.1, and only the headers of parts go through the standard
library's parser: given the whole body, it would split the recording into lines.
"""

from email.message import Message
from email.parser import BytesHeaderParser

from gateway.openai.errors import BadRequestError

MAX_PARTS = 100
"""Parts of a form at most (chosen; OpenAI's audio form has about ten fields)."""

MAX_PART_HEADER_BYTES = 8192
"""Bytes of one part's header at most (chosen: as much as web servers accept for a request's)."""

_TRUE = frozenset({"true", "t", "1", "on", "yes", "y"})
"""Texts that mean true in lower case, as in vLLM's form model."""


def parse_form(content_type: str, body: bytes) -> dict[str, str | bool]:
    """Return those of the fields `model`, `prompt` and `stream` that the form has; of repeated names the last counts.

    Raises BadRequestError for a malformed form, and for one without a `file`.
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
        raise BadRequestError("file = missing, is required", param="file")
    return fields


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["content-type"] = "".join(c for c in content_type if c.isprintable())
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise BadRequestError("content-type must be multipart/form-data with a boundary")
    return boundary.encode("utf-8", "replace")


def _parts(boundary: bytes, body: bytes) -> list[bytes]:
    """Split the body at its delimiters; each part still begins with the rest of its delimiter's line.

    There is one delimiter more than parts: the closing one, which is followed by `--`.
    """
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 1)
    closing = next((at for at, piece in enumerate(pieces) if at and piece.startswith(b"--")), None)
    if closing is None:
        raise BadRequestError(f"body must be a form of at most {MAX_PARTS} parts that ends with the closing boundary")
    return pieces[1:closing]


def _field(part: bytes) -> tuple[str, bytes]:
    """Return the name and the value of one part."""
    header, separator, value = part.partition(b"\r\n\r\n")
    if not separator or len(header) > MAX_PART_HEADER_BYTES:
        raise BadRequestError(
            f"body must be a form in which each part has a header of at most {MAX_PART_HEADER_BYTES} bytes"
        )
    parsed = BytesHeaderParser().parsebytes(header.lstrip(b" \t\r\n"))
    name = parsed.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise BadRequestError("body must be a form in which each part has a name")
    return name, value
