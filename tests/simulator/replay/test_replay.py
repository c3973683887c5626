from typing import ClassVar

import pytest

from forebay.simulation.comparison import scrape_of
from gateway.discovery.description import FleetDescription
from ratelimit.limits import User
from routing.strategy import Finished
from simulator.replay.baselines import RoundRobin
from simulator.replay.outages import Outage, OutageKind
from simulator.replay.replay import MODEL
from simulator.replay.scraping import Scraping
from simulator.replay.traces import TraceRequest
from tests.support.fleet_replay import a_replay, a_request, replayed, sim_fleet
from tests.support.model_engine import an_engine


def one_pod(**fields):
    return {"pod-0": an_engine(**fields)}


def test_a_request_is_dispatched_when_it_arrives_and_waits_for_the_pass_under_way():
    early, late = replayed(a_request(0), a_request(500), engines=one_pod())

    assert (0.5, 0.5, 1.0, 2.0, 3.0) == (
        late.arrived_s, late.dispatched_s, early.answer.first_token_s, late.answer.first_token_s, late.answer.ended_s,
    )  # fmt: skip


def test_all_that_arrives_at_one_instant_is_in_the_next_pass():
    first, second, third = replayed(a_request(0), a_request(0), a_request(1000), engines=one_pod())

    assert (1.0, 1.0, 2.0) == (first.ttft_s, second.ttft_s, third.arrived_s + third.ttft_s)


def test_a_speedup_brings_requests_closer_and_leaves_the_engine_as_fast_as_it_is():
    calls = replayed(a_request(0), a_request(8000), engines=one_pod(), speedup=4)

    assert [(0.0, 1.0), (2.0, 3.0)] == [(call.arrived_s, call.answer.first_token_s) for call in calls]


def test_the_router_chooses_the_pod():
    calls = replayed(a_request(0), a_request(10), a_request(20))

    assert ["pod-0", "pod-1", "pod-0"] == [call.pod for call in calls]


def test_the_gateway_sees_a_request_end_at_the_moment_of_its_last_token():
    class Notes(RoundRobin):
        events: ClassVar[list[Finished]] = []

        def observe(self, event: Finished) -> None:
            self.events.append(event)

    fleet = sim_fleet(1, build=lambda _name, _tools: Notes())
    a_replay([a_request(0), a_request(500)], one_pod(), router=fleet).run()

    assert [2.0, 3.0] == [event.now_s for event in Notes.events]
    assert (False, 2.0, None, 8, 2, True, True) == Notes.events[0][3:]
    assert {MODEL: 0} == fleet.in_flight()


def test_in_flight_counts_follow_the_engines():
    fleet = sim_fleet(1)
    seen = []
    trace = [a_request(0), a_request(500), a_request(2500)]
    a_replay(trace, one_pod(), router=fleet).run(lambda _: seen.append(fleet.in_flight()[MODEL]))

    assert [1, 2, 2] == seen


def test_prompts_are_found_where_they_were_computed():
    request = a_request(0, prompt=1030, ids=[1, 2, 3])
    engines = {f"pod-{index}": an_engine(block_tokens=16, kv_blocks=200, pass_tokens=2048) for index in range(2)}
    calls = replayed(*(request._replace(timestamp=at * 10_000) for at in range(3)), engines=engines)

    assert [0, 0, 1024] == [call.answer.cached_tokens for call in calls]


def test_outputs_occupy_the_cache_and_are_never_found():
    engine = an_engine(block_tokens=16, kv_blocks=64, pass_tokens=2048)
    calls = replayed(
        a_request(0, prompt=512, output=17, ids=[1]),
        a_request(100_000, prompt=480, output=2, ids=[2]),
        a_request(200_000, prompt=512, output=2, ids=[1]),
        engines={"pod-0": engine},
    )

    assert [0, 0, 496] == [call.answer.cached_tokens for call in calls]
    assert 64 == engine.blocks.free


@pytest.mark.interpreted("a method is replaced")
def test_the_router_gets_the_blocks_of_the_prompt():
    seen = []
    fleet = sim_fleet(1)
    route = fleet.route
    fleet.route = lambda request, *rest: (seen.append(request), route(request, *rest))[1]
    a_replay([TraceRequest(0, 40, 1, (5,), "u")], one_pod(block_tokens=16), router=fleet).run()

    assert [((160, 161), "u", 40, 10)] == [(r.blocks, r.user, r.prompt_tokens, r.output_tokens) for r in seen]


def test_what_no_engine_could_hold_is_refused_and_counted_nowhere():
    fleet = sim_fleet(1)
    big, small = a_replay([a_request(0, prompt=400), a_request(1)], one_pod(), router=fleet).run()

    assert ("too-long", "", False) == (big.why, big.pod, big.served)
    assert (True, {MODEL: 0}) == (small.served, fleet.in_flight())


def test_without_a_pod_requests_are_refused_with_the_reason():
    fleet = sim_fleet(1)
    fleet.replace(FleetDescription())
    (call,) = a_replay([a_request(0)], one_pod(), router=fleet).run()

    assert ("unknown-model", 0.0) == (call.why, call.dispatched_s)


def test_a_user_over_the_limit_is_refused_until_the_window_has_passed():
    trace = [a_request(at, user="u") for at in (0, 1_000, 59_000, 62_000)]
    calls = replayed(*trace, users={"u": User("u", rpm=2)})

    assert ["", "", "rpm", ""] == [call.why for call in calls]


def test_tokens_are_settled_to_what_was_used_when_the_request_ends():
    users = {"u": User("u", tpm=30)}  # each is reserved 8 + 10 and uses 8 + 2
    calls = replayed(*(a_request(at, user="u") for at in (0, 1_000, 5_000, 9_000)), users=users)

    assert ["", "tpm", "", "tpm"] == [call.why for call in calls]


@pytest.mark.parametrize("strategy", ["random", "least-request"])
def test_the_same_seed_gives_the_same_result(strategy: str):
    trace = [a_request(at * 300, output=1 + at % 7) for at in range(60)]
    one, other = ([(c.pod, c.ttft_s) for c in replayed(*trace, strategy=strategy)] for _ in range(2))

    assert one == other


def test_a_stalled_engine_ends_its_pass_and_begins_the_next_when_the_stall_is_over():
    (call,) = replayed(a_request(0), engines=one_pod(), outages=[Outage(OutageKind.STALL, "pod-0", 0.5, 10.0)])

    assert (1.0, 11.5) == (call.answer.first_token_s, call.answer.ended_s)


def test_a_crash_loses_what_the_pod_has_and_what_it_cached():
    trace = [a_request(0, output=1), a_request(500), a_request(4000, prompt=600, ids=[1, 2])]
    trace.append(a_request(100, prompt=600, ids=[1, 2], output=1))
    engines = one_pod(block_tokens=16, kv_blocks=200, pass_tokens=2048)

    calls = replayed(*sorted(trace), engines=engines, outages=[Outage(OutageKind.CRASH, "pod-0", 2.2, 1.0)])

    assert ["", "", "lost", ""] == [call.why for call in calls]
    assert (0, 5.0) == (calls[3].answer.cached_tokens, calls[3].answer.first_token_s)
    assert engines["pod-0"].totals.ttft_count == 4  # what it did stays counted, what was lost too


def test_an_answer_whose_last_token_is_being_computed_is_lost_with_the_crash():
    (call,) = replayed(a_request(0, output=1), engines=one_pod(), outages=[Outage(OutageKind.CRASH, "pod-0", 0.5, 1.0)])

    assert ("lost", False) == (call.why, call.served)


def test_a_pod_that_is_down_gets_nothing_until_it_is_back():
    trace = [a_request(at_ms) for at_ms in range(0, 6000, 1000)]

    calls = replayed(*trace, outages=[Outage(OutageKind.CRASH, "pod-0", 0.5, 3.0)])

    assert ["pod-0", "pod-1", "pod-1", "pod-1"] == [call.pod for call in calls[:4]]
    assert "pod-0" in {call.pod for call in calls[4:]}


def test_a_crash_of_an_idle_pod_costs_nothing_but_its_cache():
    calls = replayed(a_request(5000), engines=one_pod(), outages=[Outage(OutageKind.CRASH, "pod-0", 1.0, 1.0)])

    assert [6.0] == [call.answer.first_token_s for call in calls]


def test_engines_are_scraped_in_turn_without_the_counts_of_the_pass_under_way():
    engines, heard = one_pod(), []
    scraping = Scraping(engines, [lambda pod, now_s: heard.append((now_s, engines[pod].totals.output_tokens))], 1.5)
    a_replay([a_request(0), a_request(5000)], engines, scraping=scraping).run()

    assert [(2.0, 2), (3.0, 2), (4.5, 2), (6.0, 3)] == heard


@pytest.mark.parametrize("strategy", ["least-request", "least-kv-cache", "least-utilization"])
def test_passes_that_nobody_can_see_are_run_together_without_a_difference(strategy: str):
    trace = [a_request(700 * at, prompt=5 + at % 30, output=1 + at % 23) for at in range(60)]

    def calls(*outages: Outage) -> list[tuple[object, ...]]:
        engines = {f"pod-{index}": an_engine(max_running=3, kv_blocks=30) for index in range(3)}
        fleet = sim_fleet(3, strategy)
        scraping = Scraping(engines, [scrape_of(fleet, engines)], 2.0)
        done = a_replay(trace, engines, strategy=strategy, router=fleet, scraping=scraping, outages=outages).run()
        return [(call.pod, call.arrived_s, call.answer.first_token_s, call.answer.ended_s) for call in done]

    after_all = Outage(OutageKind.STALL, "pod-0", 400.0, 0.0)  # where there are outages each pass is an event
    assert calls(after_all) == calls()
