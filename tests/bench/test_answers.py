"""The measurement of answers in ext_proc mode."""

import pytest

from bench import answers


def test_every_shape_is_measured_with_every_reader(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "REPEATS", 1)
    monkeypatch.setattr(answers, "MEGABYTE", 1 << 16)

    found = answers.measure_answers(lambda _: None)

    assert [*answers.READERS] == [*found]
    for samples in found.values():
        assert [*answers.SHAPES] == [sample.shape for sample in samples]
        assert min(sample.ms for sample in samples) > 0
