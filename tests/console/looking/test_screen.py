from typing import Any

from console.looking.sample import Sample
from console.looking.screen import as_record, lines, screen


def a_pod(name: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "pod": name, "models": ["m"], "state": "ready", "ejected": False, "in_flight": 0, "wait_s": 0.0,
        "signals": {"waiting": None, "kv_usage": None}, "foreign": {"running": 0.0, "waiting": 0.0},
        "speed": {"known": False, "output_s": 0.01},
    }  # fmt: skip
    return usual | changes


def a_sample(taken_s: float, requests: float, output: float, *pods: dict[str, Any], refused: float = 0) -> Sample:
    return Sample(taken_s, pods, {"m": 2}, {"m": requests}, {("m", "output"): output}, {"rpm": refused})


def test_rates_are_differences_over_the_time_between():
    shown = screen(a_sample(10, 100, 1000, refused=5), a_sample(12, 110, 1500, a_pod("a"), refused=9))

    assert [("m", 5.0, 0.0, 250.0, 2)] == shown.models
    assert {"rpm": 2.0} == shown.refusals_per_s


def test_a_gateway_that_was_started_again_counts_from_zero():
    assert 3.0 == screen(a_sample(0, 100, 0), a_sample(2, 6, 0)).models[0].requests_per_s


def test_the_busiest_pod_is_first_and_what_is_unknown_is_no_number():
    busy = a_pod("b", in_flight=9, ejected=True, speed={"known": True, "output_s": 0.0123}, wait_s=1.5)
    shown = screen(a_sample(0, 0, 0), a_sample(1, 0, 0, a_pod("a"), busy))

    assert ["b", "a"] == [row.pod for row in shown.pods]
    text = lines(shown, 100)
    first, second = [line.split() for line in text[-2:]]
    assert ["b", "set", "aside", "9", "0", "-", "-", "1.50", "s", "12.3", "ms"] == first
    assert ["a", "ready", "0", "0", "-", "-", "0.00", "s", "-"] == second


def test_a_screen_is_no_longer_than_the_terminal():
    shown = screen(a_sample(0, 0, 0), a_sample(1, 0, 0, *(a_pod(f"pod-{number}") for number in range(50))))

    text = lines(shown, 20)
    assert 20 == len(text)
    assert "... and 37 more lines" == text[-1]
    assert 50 == len(as_record(shown)["pods"])
