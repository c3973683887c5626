from collections.abc import Sequence
from typing import Any

from simulator.replay.fairness import ServiceDifference
from simulator.replay.report import Ceilings, Comparison, page, rows, short_table, table
from simulator.replay.summary import Distribution, Slo, Summary


def a_summary(strategy: str = "a", **fields: Any) -> Summary:
    """A thousand requests of which each took a second to its first token."""
    defaults: dict[str, Any] = {
        "speedup": 1.0, "requests": 1000, "served": 990, "prompt_share": 0.877, "refused": {"rpm": 10}, "good": 900,
        "ttfts_s": [1.0] * 990,
        "itl": Distribution(0.00672, 0.006, 0.007, 0.009), "e2e": None, "reuse": 0.25, "load": {"p": 3.0, "q": 1.0},
        "preemptions": 2, "service": ServiceDifference(12.4, 30.0),
    }  # fmt: skip
    return Summary(strategy, **(defaults | fields))


def a_comparison(*summaries: Summary, pooled: float = 0.5) -> Comparison:
    return Comparison("a <trace>", Slo(), Ceilings(pooled, 0.6), summaries)


def cells(*summaries: Summary, **fields: float) -> dict[str, Sequence[str]]:
    """By their label."""
    return {label: values for label, *values in rows(a_comparison(*summaries, **fields))}


def test_each_replay_has_a_column():
    assert ["a 1x", "b 4x"] == cells(a_summary("a"), a_summary("b", speedup=4.0))[""]


def test_times_are_in_milliseconds_and_what_is_unknown_is_no_number():
    shown = cells(a_summary())

    assert [["1000.00"], ["6.72"], ["-"]] == [shown[f"{label} mean, ms"] for label in ("TTFT", "ITL", "end to end")]


def test_counts_and_shares_are_shown():
    shown = cells(a_summary())

    assert [["990 of 1000"], ["87.7%"], ["10 rpm:10"], ["900"], ["1.50"], ["0.250"], ["50%"], ["12 / 30"]] == [
        shown[label]
        for label in (
            "served", "prompt tokens served", "refused", "good", "load spread", "token reuse",
            "of the pooled cache's reuse", "service difference, mean / largest",
        )
    ]  # fmt: skip


def test_a_trace_that_reuses_nothing_has_no_share_of_the_ceiling():
    assert ["-"] == cells(a_summary(), pooled=0.0)["of the pooled cache's reuse"]


def test_the_table_is_aligned():
    lines = table(a_comparison(a_summary("a"), a_summary("a-longer-name"))).splitlines()

    assert "a <trace>" == lines[0]
    assert 1 == len({len(line) for line in lines[1:-1]})


def test_a_short_table_has_a_line_for_each_replay():
    heading, *lines = short_table(a_comparison(a_summary("a"), a_summary("a", speedup=4.0, good=7))).splitlines()[1:-1]

    assert (True, True, False) == ("TTFT p99, ms" in heading, "good" in heading, "ITL" in heading)
    assert [["a", "1x"], ["a", "4x"]] == [line.split()[:2] for line in lines]
    assert "7" in lines[1].split()


def test_the_page_shows_the_figures_and_the_plots_and_is_escaped():
    html = page(a_comparison(a_summary("<b>")), ["x.png"])

    assert (True, True, True, False) == tuple(
        part in html for part in ("<h1>a &lt;trace&gt;</h1>", "&lt;b&gt; 1x", '<img src="x.png"', "<b>")
    )
