"""The measurement of messages, on a small scale, and the family of shapes."""

import pytest

from bench import messages
from gateway.openai.errors import RefusalError
from gateway.openai.request import parse_request


def test_every_shape_is_measured_in_every_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(messages, "REPEATS", 1)
    monkeypatch.setattr(messages, "MEGABYTES", (1,))

    samples = messages.measure_messages(lambda _: None)

    assert [*messages.SHAPES] == [sample.shape for sample in samples]
    assert min(sample.ms for sample in samples) > 0


@pytest.mark.parametrize("shape", messages.SHAPES)
def test_a_body_has_the_size_that_is_asked_for(shape: str):
    assert abs(len(messages.a_body(shape, 1 << 20)) - (1 << 20)) < 100


@pytest.mark.parametrize("shape", [shape for shape in messages.SHAPES if "allowed" in shape])
def test_a_body_with_as_much_as_is_allowed_is_allowed_and_one_more_is_not(shape: str):
    operation, beginning, unit, most, end = messages.SHAPES[shape]

    assert parse_request(operation, "", messages.a_body(shape, 8 << 20))

    with pytest.raises(RefusalError):
        parse_request(operation, "", beginning + unit * (most + 20) + end + b"}")
