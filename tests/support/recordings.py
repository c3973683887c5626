"""Answers recorded from a real engine: the body without its HTTP framing."""

from pathlib import Path

RECORDINGS = Path(__file__).parent.parent / "gateway" / "openai" / "recordings"


def recorded_body(name: str) -> bytes:
    """The body of a recording, dechunked."""
    recording = (RECORDINGS / name).read_bytes()
    if name.endswith(".txt"):
        return recording.partition(b"\n")[2]
    head, _, body = recording.partition(b"\r\n\r\n")
    return _dechunked(body) if b"transfer-encoding: chunked" in head else body


def _dechunked(body: bytes) -> bytes:
    chunks = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return b"".join(chunks)
        assert rest[length : length + 2] == b"\r\n"
        chunks.append(rest[:length])
        body = rest[length + 2 :]
