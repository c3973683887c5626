"""The arithmetic of the benchmark: medians, their ratios, their targets, and a dash for what was not measured."""

from bench.bursts import BurstFigures
from bench.following import FollowFigures
from bench.formulations import Solved
from bench.idle import IdleSample
from bench.limiter import COALESCED, PLAIN, LimiterFigures, LimiterSample
from bench.measure import Sample
from bench.memory import MemoryFigures
from bench.messages import MEGABYTES, MessageSample
from bench.picking import PODS, TOKENS, PickFigures, PickSample
from bench.planning import FOREBAY as PLANNER
from bench.planning import LARGE, PlanFigures, PlanSample
from bench.report import (
    Figures,
    ReplicaFigures,
    RoutingFigures,
    answer_rows,
    cost_rows,
    document,
    following_rows,
    idle_rows,
    latency_rows,
    message_rows,
    picking_rows,
    planning_target_rows,
    replica_target_rows,
    routing_target_rows,
    scraping_rows,
    sharing_rows,
    tables,
    target_rows,
)
from bench.scraping import ScrapeFigures
from bench.sharing import SharingFigures, SharingSample, beside
from bench.variants import ALONE, COMPILED, EMPTY, EMPTY_GO, FOREBAY, NOT_SHARING, TWO_WORKERS
from bench.workloads import DOUBLE, LATENCY, SLOW, SMALL, STREAM

LIMITED = [LimiterSample(COALESCED, 32, 30.0, 9.0), LimiterSample(PLAIN, 32, 50.0, 19.0)]


def a_sample(workload, variant, gateway_us=0.0, latencies=(0.001,)) -> Sample:
    cpu_us = {} if variant == ALONE else {"gateway": gateway_us}
    return Sample(workload.name, variant, len(latencies), 1.0, latencies, cpu_us)


def test_a_figure_is_the_median_over_rounds():
    figures = Figures([a_sample(SMALL, FOREBAY, us) for us in (100.0, 900.0, 120.0)])

    assert 120.0 == figures.cpu_us(SMALL, FOREBAY, "gateway")


def test_what_was_not_measured_is_absent_not_zero():
    figures = Figures([a_sample(SMALL, ALONE)])

    assert (None, None) == (figures.cpu_us(SMALL, ALONE, "gateway"), figures.rate(SMALL, FOREBAY))


def test_added_latency_is_over_envoy_alone():
    alone, forebay = [0.001] * 10, [0.003] * 10
    figures = Figures([a_sample(LATENCY, ALONE, latencies=alone), a_sample(LATENCY, FOREBAY, 250.0, latencies=forebay)])

    assert [
        (ALONE, "1.00", "1.00", "0.00", "0.00", "-"),
        (FOREBAY, "3.00", "3.00", "2.00", "2.00", "250"),
    ] == list(latency_rows(figures))


def test_targets_are_ratios_of_medians():
    samples = [
        a_sample(SMALL, EMPTY, 200.0),
        a_sample(SMALL, FOREBAY, 150.0),
        a_sample(SLOW, FOREBAY, 400.0),
        a_sample(STREAM, FOREBAY, 450.0),
        a_sample(LATENCY, ALONE, latencies=[0.001] * 10),
        a_sample(LATENCY, EMPTY, latencies=[0.003] * 10),
        a_sample(LATENCY, FOREBAY, latencies=[0.002] * 10),
    ]

    assert ["0.75", "0.50", "1.12", "3.00", "0.60"] == [
        measured for _, _, measured in target_rows(Figures(samples), LimiterFigures(LIMITED))
    ]


def test_compiled_and_interpreted_have_targets_of_their_own():
    samples = [a_sample(SMALL, EMPTY, 200.0), a_sample(SMALL, COMPILED, 120.0), a_sample(SMALL, FOREBAY, 150.0)]

    rows = list(target_rows(Figures(samples), LimiterFigures(LIMITED)))

    assert [
        ("gateway CPU, 200-byte prompt: Forebay, compiled / empty", "<= 0.65", "0.60"),
        ("gateway CPU, 200-byte prompt: Forebay / empty", "<= 0.9", "0.75"),
    ] == [row for row in rows if "200-byte prompt:" in row[0]]
    assert [
        ("added p50: Forebay, compiled / empty", "<= 1.1", "-"),
        ("added p50: Forebay / empty", "<= 1.2", "-"),
    ] == [row for row in rows if "added p50" in row[0]]


def test_the_floor_stands_beside_the_empty_processor_where_it_was_measured():
    figures = Figures(
        [a_sample(SMALL, EMPTY, 200.0), a_sample(SMALL, EMPTY_GO, 100.0), a_sample(SMALL, FOREBAY, 150.0)]
    )

    rows = list(target_rows(figures, LimiterFigures(LIMITED)))

    assert ("the same: Forebay / empty grpc-go, the floor", "-", "1.50") in rows
    assert [(EMPTY, "1.00"), (EMPTY_GO, "0.50"), (FOREBAY, "0.75")] == [
        (row[0], row[-1]) for row in cost_rows(figures, SMALL)
    ]


def test_a_table_lists_only_variants_that_ran():
    text = tables([a_sample(SMALL, FOREBAY, 150.0)], [])

    assert (True, False) == (f"| {FOREBAY} " in text, EMPTY in text)


def test_the_document_names_the_machine():
    assert "an old laptop" in document(
        [a_sample(SMALL, FOREBAY, 1.0)],
        [],
        None,
        None,
        {"processor": "an old laptop"},
        planning=None,
        rounds=3,
        seconds=2.0,
    )


def test_the_limiter_has_a_table_of_its_own():
    text = tables([], LIMITED)

    assert "One reserve and its settlement" in text
    assert [PLAIN, "-", "-", "50.0", "19.0"] == [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]]


def test_the_cost_of_a_decision_is_shown_by_pods_and_prompt():
    samples = tuple(PickSample(pods, tokens, 3.0, pods / 2, 9.0) for pods in PODS for tokens in TOKENS)
    picking = PickFigures(samples, hash_share=0.6, by_plan=1.6)
    messages = [MessageSample(shape, size, ms * size) for shape, ms in (("a", 2.0), ("b", 3.0)) for size in MEGABYTES]
    memory = MemoryFigures(index=800_000_000, minute=50_000_000, hour=51_000_000)
    following = FollowFigures(5_000, 8_138, 0.6, 0.34, 3_384, paced_us=425.0, storm_us=54.0)
    idle = (IdleSample(100, 0.06), IdleSample(1_000, 0.5))
    answers = {"as it is": [MessageSample("a", 1, 2.0)], "renamed": [MessageSample("a", 1, 3.0)]}
    scraping = ScrapeFigures(52_000, 250.0, interval_s=2.0)
    routing = RoutingFigures(picking, scraping, memory, messages, following, idle, answers)
    figures = Figures([a_sample(SMALL, EMPTY, 200.0)])

    assert ("100", *["3 + 50"] * len(TOKENS)) in list(picking_rows(picking))
    assert ["0.25", "1.60", "0.60", "80", "3.0", "48.0", "0.06", "0.80", "1.02"] == [
        row[2] for row in routing_target_rows(figures, routing)
    ]
    assert [("a", "2.0", "3.0")] == list(answer_rows(answers))
    assert [("a", "2.0", "32.0"), ("b", "3.0", "48.0")] == list(message_rows(messages))
    assert [("52 KB", "250", "1,000", "2 s", "12%")] == list(scraping_rows(routing.scraping))
    assert [("5,000", "8 KB", "3.4 KB", "340", "54", "425", "4.2%")] == list(following_rows(following))
    assert [("100", "3.6", "6.0%"), ("1,000", "30.0", "50.0%")] == list(idle_rows(idle))
    assert "Engine metrics" in tables([], [], routing)


def test_two_workers_are_compared_with_one_and_with_two_that_do_not_share():
    samples = [
        a_sample(SMALL, EMPTY, 300.0),
        a_sample(DOUBLE, EMPTY + TWO_WORKERS, 420.0),
        a_sample(SMALL, FOREBAY, 200.0),
        a_sample(DOUBLE, FOREBAY + TWO_WORKERS, 210.0),
        a_sample(DOUBLE, FOREBAY + TWO_WORKERS + NOT_SHARING, 200.0),
    ]
    sharing = SharingFigures((), ())

    assert "0.50" == next(row[-1] for row in cost_rows(Figures(samples), DOUBLE) if row[0] == FOREBAY + TWO_WORKERS)
    assert ["1.40", "1.05", "1.05", "3"] == [
        measured
        for *_, measured in replica_target_rows(Figures(samples), ReplicaFigures(sharing, BurstFigures((2, 3))))
    ]


def test_what_sharing_costs_is_what_it_adds():
    alone = SharingSample(10, 0, 0.10, 0.0, 0.0, 0.0, ())
    two = SharingSample(10, 2, 0.125, 0.004, 17_700.0, 39_300.0, (0.02, 0.03, 0.04))
    idle = SharingSample(10, 2, 0.003, 0.0, 100.0, 200.0, ())
    rows = list(sharing_rows(SharingFigures((beside(two, alone),), (idle,))))

    assert ("10", "2", "2.5%", "0.4%", "17.7", "39.3", "30") == rows[0][:-1]
    assert ("idle", "2", "0.3%", "0.0%", "0.1", "0.2", "-", "-") == rows[1]


def test_plans_have_a_target_and_a_table():
    planning = PlanFigures([PlanSample(*LARGE, 8.0, 0, PLANNER, Solved(0.25, 10.0, True))])

    assert [("s for a plan of 10 GPU types and 144 buckets", "<= 0.5", "0.25")] == list(planning_target_rows(planning))
    assert "Plans of GPU types" in tables([], [], planning=planning)
