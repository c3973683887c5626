"""The worst message: milliseconds for which one body holds the event loop, by its shape and size.

Lives here: the family of shapes, and the measurement from the message's bytes to the routing of its prompt.  Not here:
tables (report), what a body may hold (gateway.openai.json_body).
`python -m bench.messages` measures in a process with a worker's allocator.
"""

import gc
import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench.processes import python_module
from gateway.extproc import wire
from gateway.openai.errors import RefusalError
from gateway.openai.json_body import MAX_CONTAINERS, MAX_STRINGS
from gateway.openai.members import MAX_QUOTES
from gateway.openai.operations import Operation
from gateway.openai.prompt import MAX_DOCUMENTS, MAX_MESSAGES, MAX_PARTS
from gateway.openai.request import parse_request
from gateway.openai.stream_usage import with_stream_usage
from gateway.pb import ext_proc_pb2 as pb
from gateway.serving.framing import Deframer, Unfinished, frame
from gateway.worker.launch import MALLOC
from gateway.worker.worker import GC_THRESHOLDS
from routing.prefix.blocks import block_hashes

MEGABYTES = (1, 16)
REPEATS = 3
"""Messages of each shape and size, of which the fastest counts: the others were interrupted."""
CHUNK_BYTES = 64 * 1024
_CHAT, _COMPLETION, _FORM = Operation.CHAT, Operation.COMPLETIONS, Operation.TRANSCRIPTIONS
_TURN = b'{"model":"m","stream":true,"messages":[{"role":"user","content":'
_MESSAGE = b'{"role":"user","content":"a"}'
_CALL = b'{"role":"user","content":"a","tool_calls":[{"type":"base64","data":"a"}]}'
_OBJECT = _TURN + b'[{"type":"x","x":'
_URL = b"data:image/png;base64,AAAAAAAAAAAAAAAA "
_OPTIONS = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"a"}],"stream_options":{},"x":['
_AUDIO = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'

SHAPES: dict[str, tuple[Operation, bytes, bytes, int, bytes]] = {
    "one text": (_CHAT, _TURN + b'"', b"a ", 0, b'"}]}'),
    "one text of escapes": (_CHAT, _TURN + b'"', b"\\n", 0, b'"}]}'),
    "one text of other letters": (_CHAT, _TURN + b'"', "\u4e16".encode(), 0, b'"}]}'),
    "quotes in a text": (_CHAT, _TURN + b'"', rb"\"", 0, b'"}]}'),
    "a text in an object": (_CHAT, _TURN + b'[{"type":"x","x":"', b"a ", 0, b'"}]}]}'),
    "numbers beside a picture": (_CHAT, _OBJECT + b'["base64"', b",1", 2**17, b"]}]}]}"),
    "data URLs": (_CHAT, _OBJECT + b'"', _URL, 0, b'"}]}]}'),
    "marks of data URLs": (_CHAT, _OBJECT + b'"', b";base64,", 0, b'"}]}]}'),
    "small base64 in objects": (_CHAT, _OBJECT + b"[", b'{"data":"' + b"A" * 256 + b'"},', 20_000, b"{}]}]}]}"),
    "base64 in calls of tools": (
        _CHAT, b'{"model":"m","messages":[', _CALL + b",", MAX_MESSAGES - 1, _MESSAGE + b"]"
    ),
    "base64 in documents": (
        Operation.RERANK, b'{"model":"m","query":"q","documents":[', b'{"type":"base64","data":"a"},',
        MAX_DOCUMENTS - 1, b"{}]"
    ),
    "options beside quotes": (_CHAT, _OPTIONS + b'"', rb"aaaaaa\"", 0, b'"]}'),
    "options beside texts": (_CHAT, _OPTIONS, b'"a",', MAX_QUOTES // 2 - 40, b'"a"]'),
    "brackets in a text": (_CHAT, _TURN + b'"', b"[{,", 0, b'"}]}'),
    "lists of one id": (_COMPLETION, b'{"model":"m","prompt":[', b"[1],", 0, b"[1]]}"),
    "token ids": (_COMPLETION, b'{"model":"m","prompt":[', b"1,", 0, b"1]}"),
    "as many lists as allowed": (_COMPLETION, b'{"model":"m","prompt":"a","x":[', b"[],", MAX_CONTAINERS - 9, b"[]]"),
    "as many texts as allowed": (_COMPLETION, b'{"model":"m","prompt":"a","x":[', b'"a",', MAX_STRINGS - 9, b'"a"]'),
    "as many parts as allowed": (_CHAT, _TURN + b"[", b'{"type":"image_url","image_url":1},', MAX_PARTS - 1, b'{}]}]'),
    "as many messages as allowed": (
        _CHAT, b'{"model":"m","messages":[', _MESSAGE + b",", MAX_MESSAGES - 1, _MESSAGE + b"]"
    ),
    "nested lists": (_CHAT, _TURN, b"[", 0, b""),
    "a form of line breaks": (_FORM, _AUDIO, b"\r\n", 0, b"\r\n--b--"),
    "a form of delimiters": (_FORM, _AUDIO, b"\r\n--b\r\n", 0, b"\r\n--b--"),
}  # fmt: skip
"""Operation, beginning, a unit that fills the body, how often at most (0: as often as fits), end.  What is left after
units that are counted is one text."""


@dataclass(frozen=True, slots=True)
class MessageSample:
    """The milliseconds that one message of so many megabytes holds the loop."""

    shape: str
    megabytes: int
    ms: float


def measure_messages(progress: Callable[[str], None]) -> tuple[MessageSample, ...]:
    """Measure; takes some 10 s."""
    progress("the worst message")
    environment = {**os.environ, **MALLOC}
    done = subprocess.run(python_module("bench.messages"), env=environment, check=True, capture_output=True)
    return tuple(MessageSample(*sample) for sample in json.loads(done.stdout))


def samples() -> tuple[MessageSample, ...]:
    """Measure in this process."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        return tuple(MessageSample(shape, size, _ms(shape, size << 20)) for shape in SHAPES for size in MEGABYTES)
    finally:
        gc.set_threshold(*thresholds)


def a_body(shape: str, size: int) -> bytes:
    """Return a body of this shape and of about `size` bytes."""
    _, beginning, unit, most, end = SHAPES[shape]
    room = size - len(beginning) - len(end)
    if not most:
        return beginning + unit * (room // len(unit)) + end
    units = beginning + unit * min(most, room // len(unit)) + end
    return units + b',"more":"' + b"a" * max(0, size - len(units) - 11) + b'"}'


def _ms(shape: str, size: int) -> float:
    message = pb.ProcessingRequest(request_body=pb.HttpBody(body=a_body(shape, size), end_of_stream=True))
    framed = frame(message.SerializeToString())
    chunks = [framed[at : at + CHUNK_BYTES] for at in range(0, len(framed), CHUNK_BYTES)]
    return min(_handled_ms(SHAPES[shape][0], chunks) for _ in range(REPEATS))


def _handled_ms(operation: Operation, chunks: list[bytes]) -> float:
    """Do what a worker does with the bytes of one message until a pod is chosen."""
    started = time.thread_time()
    deframer = Deframer(Unfinished())
    messages = [message for chunk in chunks for message in deframer.feed(chunk)]
    body: Any = wire.decode(messages[0])
    with suppress(RefusalError):
        content_type = "multipart/form-data; boundary=b" if operation is _FORM else ""
        request = parse_request(operation, content_type, body.data)
        with_stream_usage(body.data, request)
        block_hashes(0, request.prompt_text(), request.model)
    return (time.thread_time() - started) * 1000


if __name__ == "__main__":
    print(json.dumps([(sample.shape, sample.megabytes, sample.ms) for sample in samples()]))
