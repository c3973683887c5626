"""The measurement of sharing, on a small scale, with a real Redis and siblings in a process of their own."""

from pathlib import Path

import pytest

from bench import sharing
from bench.siblings import messages_of
from gateway.sharing.messages import decode


def test_a_replica_among_siblings_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name, value in {"PODS": (3,), "WORKERS": (3,), "RUN_S": 1.0, "RATE": 40.0}.items():
        monkeypatch.setattr(sharing, name, value)

    figures = sharing.measure_sharing(tmp_path, lambda _: None)

    (loaded,), (alone, idle) = figures.loaded, figures.idle
    assert (3, 3, 1, 3) == (loaded.pods, loaded.workers, alone.workers, idle.workers)
    assert loaded.received_bytes_s > loaded.sent_bytes_s > idle.sent_bytes_s > 0
    median_ms, p99_ms = loaded.age_ms
    assert median_ms is not None
    assert p99_ms is not None
    assert 0 < median_ms <= p99_ms


def test_siblings_tell_what_real_fleets_would():
    messages = [(due_s, decode(message)) for due_s, message in messages_of("0123456789ab", 3, 100.0, 1.0, 1)]

    assert list(range(1, len(messages) + 1)) == [share.serial for _, share in messages]
    assert 80 <= sum(len(share.prompts) for _, share in messages) <= 100
    assert all(due_s < 1.0 for due_s, _ in messages)
