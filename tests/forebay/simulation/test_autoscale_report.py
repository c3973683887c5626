"""Measures of autoscalers: what they cost and kept."""

from dataclasses import replace
from math import inf

from forebay.local.mix.gpu_types import GpuType
from forebay.simulation.autoscale_loop import Scenario
from forebay.simulation.autoscale_report import AutoscaleComparison, AutoscaleRun, level, rows, table
from forebay.simulation.elastic_fleet import Replica
from simulator.core.gpus import gpu_profile
from simulator.replay.summary import Slo, Summary
from simulator.replay.traces import TraceRequest
from tests.support.pods import an_endpoint

SUMMARY = Summary("x", 1.0, 200, 198, 1.0, {"lost": 2}, 190, [0.1, 0.3], None, None, 0.0, {}, 0, None)
RUN = AutoscaleRun("KPA", SUMMARY, 500.0, 2.5, 4, 3, [], [])


def a_replica(ordered_s: float, ended_s: float = inf) -> Replica:
    return Replica(GpuType("engine"), an_endpoint("pod"), ordered_s, ended_s=ended_s)


def a_comparison(*runs: AutoscaleRun) -> AutoscaleComparison:
    trace = [TraceRequest(0.0, 8, 2)] * 200
    scenario = Scenario("2x100", trace, 100.0, gpu_profile("L4"), 30.0, Slo(3.0, 0.1), "least-request", 0)
    return AutoscaleComparison(scenario, runs)


def test_a_row_has_the_figures_of_its_replay():
    heading, row = rows(a_comparison(RUN))

    assert ["KPA", "95.00%", "2.50", "4", "500", "200", "298", "-", "2", "3"] == row
    assert len(heading) == len(row)


def test_a_replay_in_which_nothing_was_served_has_no_latencies():
    nothing = replace(SUMMARY, served=0, good=0, ttfts_s=[])
    _, row = rows(a_comparison(replace(RUN, summary=nothing)))

    assert ["0.00%", "-", "-", "200"] == [row[1], row[5], row[6], row[8]]


def test_the_title_says_what_was_compared_on_what():
    line = table(a_comparison(RUN)).splitlines()[0]

    assert "2x100: 200 requests in 100 s, first token in 3 s, 100 ms a token, 30 s to start" == line


def test_the_level_counts_replicas_until_they_end():
    replicas = [a_replica(0.0), a_replica(10.0, 40.0), a_replica(40.0), a_replica(120.0)]

    assert [(0.0, 1), (10.0, 2), (40.0, 1), (40.0, 2)] == list(level(replicas, 100.0))


def test_another_name_is_the_same_run():
    assert ("best-static (4)", 0.95) == (RUN.renamed("best-static (4)").name, RUN.renamed("x").attainment)
