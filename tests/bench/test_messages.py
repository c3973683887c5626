"""The measurement of messages, on a small scale, and the family of shapes."""

import subprocess

import pytest

from bench import messages
from bench.processes import python_module
from gateway.openai.errors import RefusalError
from gateway.openai.request import parse_request
from gateway.worker.launch import MALLOC


def test_every_shape_is_measured_in_every_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(messages, "REPEATS", 1)
    monkeypatch.setattr(messages, "MEGABYTES", (1,))

    samples = messages.samples()

    assert [*messages.SHAPES] == [sample.shape for sample in samples]
    assert min(sample.ms for sample in samples) > 0


def test_messages_are_measured_with_the_allocator_of_a_worker(monkeypatch: pytest.MonkeyPatch):
    def run(argv: tuple[str, ...], env: dict[str, str], **_options: object) -> subprocess.CompletedProcess[bytes]:
        assert python_module("bench.messages") == argv
        assert MALLOC.items() <= env.items()
        return subprocess.CompletedProcess(argv, 0, b'[["one text", 1, 2.5]]')

    monkeypatch.setattr(subprocess, "run", run)

    assert (messages.MessageSample("one text", 1, 2.5),) == messages.measure_messages(lambda _: None)


@pytest.mark.parametrize("shape", messages.SHAPES)
def test_a_body_has_the_size_that_is_asked_for(shape: str):
    assert abs(len(messages.a_body(shape, 1 << 20)) - (1 << 20)) < 100


@pytest.mark.parametrize("shape", [shape for shape in messages.SHAPES if "allowed" in shape])
def test_a_body_with_as_much_as_is_allowed_is_allowed_and_one_more_is_not(shape: str):
    operation, beginning, unit, most, end = messages.SHAPES[shape]

    assert parse_request(operation, "", messages.a_body(shape, 8 << 20))

    with pytest.raises(RefusalError):
        parse_request(operation, "", beginning + unit * (most + 20) + end + b"}")
