"""The strategies by plan: which deployment, when another one, and which pod of it."""

import random
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fleet.hints import plan_of
from gateway.fleet.pod import Pod
from routing.mixture import Mixture
from routing.plans import Plans
from routing.strategy import Tools
from routing.table import build
from routing.types import Decision
from tests.support.hints import a_hint
from tests.support.plans import LONG, MIDDLE, SHORT, asking, by_plan, decisions, plans, pods_of, split
from tests.support.pods import MODEL
from traffic.hint import Weights

NAMES = ("slo", "slo-least-load", "slo-pack-load")
by_every_name = pytest.mark.parametrize("name", NAMES)
NO_THROUGHPUT = replace(a_hint(), throughput={})


def known(*pods: Pod, output_s: float = 0.01) -> None:
    """Let their speed be known: 10 ms, and 0.1 ms for each token of the prompt."""
    for pod in pods:
        pod.speed.fixed_s, pod.speed.token_s, pod.speed.output_s, pod.speed.known = 0.01, 1e-4, output_s, True


def loaded(pod: Pod, requests: int, tokens: int) -> None:
    """Put requests in flight there, of so many tokens each."""
    pod.in_flight += requests
    pod.resident_tokens += requests * tokens


def deployments(made: list[Decision]) -> set[str]:
    return {decision.pod.deployment for decision in made}


@by_every_name
def test_sizes_go_to_the_deployments_that_the_plan_chose(name: str) -> None:
    strategy, pods = by_plan(name), pods_of(l20=3, v100=1)

    short = decisions(strategy, pods, [(SHORT, 32)] * 50)
    long = decisions(strategy, pods, [(LONG, 32)] * 50)

    assert [{"l20"}, {"v100"}] == [deployments(short), deployments(long)]
    assert {""} == {decision.fallback.replace("speed-unknown", "") for decision in short + long}
    assert short[0].reason.startswith("plan 7: l20, ")
    assert name == short[0].strategy


@by_every_name
@pytest.mark.parametrize("replicas", [1, 4])
def test_a_thousand_requests_are_divided_as_planned(name: str, replicas: int) -> None:
    pods = pods_of(l20=3, v100=1)
    strategies = [by_plan(name, seed=seed) for seed in range(replicas)]
    rng = random.Random(7)

    made = [rng.choice(strategies).pick(asking(MIDDLE), pods, 0.0) for _ in range(1000)]

    assert split(made) == pytest.approx({"l20": 0.7, "v100": 0.3}, abs=0.02)


SHARES = st.sampled_from(({"a": 1.0}, {"b": 1.0}, {"a": 0.5, "b": 0.5}, {"a": 0.2, "b": 0.3, "c": 0.5}, {"c": 1.0}))


@settings(max_examples=20)  # of a thousand picks each
@given(cells=st.lists(SHARES, min_size=9, max_size=9), replicas=st.sampled_from([1, 4]), seed=st.integers(0, 99))
def test_any_mix_of_sizes_over_several_replicas_is_divided_as_planned(
    cells: list[Weights], replicas: int, seed: int
) -> None:
    ticks = (100.0, 400.0, 1600.0)
    share = tuple(tuple(cells[3 * row : 3 * row + 3]) for row in range(3))
    hint = replace(a_hint(), outputs=ticks, inputs=ticks, share=share, in_share=share[0], throughput={})
    strategies = [by_plan("slo", hint, seed=seed + replica) for replica in range(replicas)]
    pods, rng = pods_of(a=2, b=2, c=1), random.Random(seed)
    sizes = [(rng.choice(ticks), rng.choice(ticks)) for _ in range(1000)]

    made = [rng.choice(strategies).pick(asking(int(i), int(o)), pods, 0.0) for i, o in sizes]

    wanted: Counter[str] = Counter()
    for i, o in sizes:
        wanted.update(share[ticks.index(o)][ticks.index(i)])
    found = Counter(decision.pod.deployment for decision in made)
    assert all(abs(found[name] - wanted[name]) <= 20 for name in "abc")


def test_the_split_is_told_beside_what_was_wanted() -> None:
    followed, pods = plans(), pods_of(l20=1, v100=1)
    strategy = build("slo", Tools(random.Random(1), plans=followed))
    decisions(strategy, pods, [(MIDDLE, 32)] * 100)
    found = followed.of(MODEL)

    assert found is not None
    assert {"l20": pytest.approx(70), "v100": pytest.approx(30)} == found[1].wanted
    assert {"l20": pytest.approx(70, abs=2), "v100": pytest.approx(30, abs=2)} == found[1].chosen


def test_requests_of_unknown_output_are_divided_by_their_input_alone() -> None:
    made = decisions(by_plan(), pods_of(l20=3, v100=1), [(MIDDLE, 0)] * 1000)

    assert split(made) == pytest.approx({"l20": 0.55, "v100": 0.45}, abs=0.02)


@by_every_name
@given(
    size=st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)),
    counts=st.fixed_dictionaries({"l20": st.integers(0, 3), "v100": st.integers(0, 2), "none": st.integers(0, 2)}),
    is_fresh=st.booleans(),
    busy=st.lists(st.integers(0, 60), min_size=7, max_size=7),
)
def test_never_a_deployment_that_cannot_serve_while_another_may(
    name: str, size: tuple[int, int], counts: dict[str, int], is_fresh: bool, busy: list[int]
) -> None:
    pods = pods_of(**counts)
    if not pods:
        return
    known(*pods)
    for pod, requests in zip(pods, busy, strict=False):
        loaded(pod, requests, 500)
        pod.prefill_done_at_s = requests / 10
    strategy = by_plan(name, expires_s=1.0 if is_fresh else 0.0)
    able = {"", *plan_of(a_hint()).cell(*size).capable}

    decision = strategy.pick(asking(*size), pods, 0.5)

    assert decision.pod.deployment in able or not any(pod.endpoint.deployment in able for pod in pods)


def test_a_deployment_that_has_no_candidate_is_stood_in_for_by_the_others_of_the_plan() -> None:
    [decision] = decisions(by_plan(), pods_of(v100=2), [(SHORT, 32)])

    assert "v100" == decision.pod.deployment
    assert "speed-unknown+deployment-away" == decision.fallback
    assert decision.reason.endswith(", fallback=speed-unknown+deployment-away")


def test_what_stands_in_has_the_shares_of_the_plan_among_themselves() -> None:
    hint = replace(
        a_hint(), share=(({"a": 0.6, "b": 0.3, "c": 0.1},) * 3,) * 2, in_share=({"a": 1.0},) * 3, throughput={}
    )

    made = decisions(by_plan("slo", hint), pods_of(b=1, c=1), [(SHORT, 32)] * 1000)

    assert split(made) == pytest.approx({"b": 0.75, "c": 0.25}, abs=0.02)
    assert 0.6 == pytest.approx(sum("deployment-away" in decision.fallback for decision in made) / 1000, abs=0.02)


def test_a_request_that_is_looked_at_again_among_fewer_pods_keeps_its_point() -> None:
    """As where a model promises something: only pods that are open are looked at the second time."""
    hint = replace(
        a_hint(), share=(({"a": 0.4, "b": 0.3, "c": 0.3},) * 3,) * 2, in_share=({"a": 1.0},) * 3, throughput={}
    )
    strategy, pods = by_plan("slo", hint), pods_of(a=1, b=1, c=1)
    made = []
    for _ in range(1000):
        request = asking(SHORT)
        decision = strategy.pick(request, pods, 0.0)
        made.append(strategy.pick(request, pods[1:], 0.0) if decision.pod.deployment == "a" else decision)

    assert split(made) == pytest.approx({"b": 0.5, "c": 0.5}, abs=0.02)


def test_an_expired_plan_divides_by_pods_and_throughput() -> None:
    made = decisions(by_plan(expires_s=0.0), pods_of(l20=4, v100=1), [(MIDDLE, 32)] * 1000)

    assert split(made) == pytest.approx({"l20": 0.5, "v100": 0.5}, abs=0.02)  # 4 x 2 and 1 x 8 requests a second
    assert {"speed-unknown+plan-expired"} == {decision.fallback for decision in made}


def test_a_size_that_was_not_planned_for_is_divided_by_pods_and_throughput() -> None:
    hint = replace(a_hint(), share=(({},) * 3, ({},) * 3))

    made = decisions(by_plan("slo", hint), pods_of(l20=4, v100=1), [(MIDDLE, 32)] * 1000)

    assert split(made) == pytest.approx({"l20": 0.5, "v100": 0.5}, abs=0.02)
    assert {"speed-unknown+size-unplanned"} == {decision.fallback for decision in made}


@by_every_name
@pytest.mark.parametrize(
    ("followed", "pods", "size", "reason"),
    [
        (None, {"l20": 2}, SHORT, "no-plan"),
        (plans(NO_THROUGHPUT, expires_s=0.0), {"l20": 2}, SHORT, "no-plan"),
        (plans(), {"h100": 2}, SHORT, "no-pod-planned"),
        (plans(), {"none": 2}, SHORT, "no-pod-planned"),
        (plans(), {"l20": 2}, LONG, "size-unserved"),
        (plans(), {"l20": 2, "none": 1}, LONG, "size-unserved"),
    ],
    ids=["no hint", "expired, without throughputs", "others", "no deployment", "cannot", "cannot, or is unknown"],
)
def test_without_a_deployment_that_can_serve_the_default_strategy_chooses_and_says_why(
    name: str, followed: Plans | None, pods: dict[str, int], size: int, reason: str
) -> None:
    strategy = build(name, Tools(random.Random(1), plans=followed))
    default = build("forebay", Tools(random.Random(1)))
    candidates = pods_of(**pods)
    known(*candidates)
    loaded(candidates[0], 1, 1000)

    decision = strategy.pick(asking(size), candidates, 0.0)

    preferred = [pod for pod in candidates if not pod.endpoint.deployment] if len(pods) > 1 else candidates
    expected = default.pick(asking(size), preferred, 0.0)
    assert (expected.pod, reason) == (decision.pod, decision.fallback)
    assert f"{expected.reason}, fallback={reason}" == decision.reason
    assert strategy.part_names() == default.part_names()


def test_pods_that_the_plan_does_not_know_wait_until_its_own_are_full() -> None:
    strategy, pods = by_plan(), pods_of(l20=1, none=2)
    assert {"l20"} == deployments(decisions(strategy, pods, [(SHORT, 32)] * 20))

    pods[0].prefill_done_at_s = 3.0  # beyond the plan's 2 s

    [decision] = decisions(strategy, pods, [(SHORT, 32)])
    assert ("", "speed-unknown+deployment-full") == (decision.pod.deployment, decision.fallback)


def test_a_deployment_that_should_have_no_replicas_is_used_only_where_it_is_needed() -> None:
    hint = replace(a_hint(), replicas={"l20": 3, "v100": 0}, share=(({"l20": 1.0}, {}, {}), ({"l20": 1.0}, {}, {})))
    strategy, pods = by_plan("slo", hint), pods_of(l20=1, v100=2)

    assert {"l20"} == deployments(decisions(strategy, pods, [(SHORT, 32), (MIDDLE, 32)] * 20))
    assert {"v100"} == deployments(decisions(strategy, pods, [(LONG, 32)] * 20))
    assert {"v100"} == deployments(decisions(strategy, pods[1:], [(SHORT, 32)] * 20))


@by_every_name
def test_requests_spill_when_all_pods_of_the_deployment_are_late(name: str) -> None:
    strategy, pods = by_plan(name), pods_of(l20=2, v100=1)
    known(*pods)

    pods[0].prefill_done_at_s = 1.99
    assert {"l20"} == deployments(decisions(strategy, pods, [(SHORT, 32)] * 10))
    pods[1].prefill_done_at_s = 1.99
    [decision] = decisions(strategy, pods, [(SHORT, 32)])
    assert ("v100", "deployment-full") == (decision.pod.deployment, decision.fallback)
    assert decision.reason.startswith("plan 7: v100, ")
    assert decision.reason.endswith(", fallback=deployment-full")


@pytest.mark.parametrize(("requests", "deployment"), [(0, "l20"), (12, "l20"), (13, "v100")])
def test_requests_spill_when_more_is_in_flight_than_the_throughput_explains(requests: int, deployment: str) -> None:
    strategy, pods = by_plan(), pods_of(l20=1, v100=1)
    known(*pods, output_s=0.02)  # a request lasts 0.676 s: of 10 a second 6.76 are in flight, up to 12.96 by chance
    loaded(pods[0], requests, SHORT + 32)

    assert deployment == strategy.pick(asking(SHORT), pods, 0.0).pod.deployment


def test_a_request_lasts_no_longer_than_the_slo_allows() -> None:
    hint = replace(a_hint(), slo={"ttft": 0.1, "itl": 0.01})  # 0.42 s: 4.2 are in flight, up to 9.3 by chance
    strategy, pods = by_plan("slo", hint), pods_of(l20=1, v100=1)
    known(*pods, output_s=0.2)  # slow, because it has too much to do
    loaded(pods[0], 10, SHORT + 32)

    assert "v100" == strategy.pick(asking(SHORT), pods, 0.0).pod.deployment


def test_of_an_unknown_speed_nothing_spills_but_what_the_slo_forbids() -> None:
    strategy, pods = by_plan(), pods_of(l20=1, v100=1)
    loaded(pods[0], 1000, 1000)

    assert "l20" == strategy.pick(asking(SHORT), pods, 0.0).pod.deployment


def test_where_all_deployments_are_full_the_plan_is_followed() -> None:
    strategy, pods = by_plan(), pods_of(l20=1, v100=1)
    for pod in pods:
        pod.prefill_done_at_s = 9.0

    made = decisions(strategy, pods, [(MIDDLE, 32)] * 1000)

    assert split(made) == pytest.approx({"l20": 0.7, "v100": 0.3}, abs=0.02)
    assert {"speed-unknown"} == {decision.fallback for decision in made}


def test_within_the_deployment_slo_keeps_a_cached_prefix() -> None:
    strategy, pods = by_plan(), pods_of(l20=3, v100=1)
    known(*pods)
    blocks = range(1, 11)
    for holder in (pods[1], pods[3]):
        holder.cache.insert(blocks, 0, 0.0)
    request = asking(SHORT, blocks=blocks, block_tokens=25.0, match=pods[0].cache.index.match(blocks))

    assert "l20-1" == strategy.pick(request, pods, 0.0).pod.id


def test_within_the_deployment_slo_least_load_takes_the_pod_with_the_fewest_tokens() -> None:
    pods = pods_of(l20=3, v100=1)
    for pod, tokens in zip(pods, (300, 200, 400, 0), strict=True):
        loaded(pod, 1, tokens)

    decision = by_plan("slo-least-load").pick(asking(SHORT), pods, 0.0)

    assert ["l20-1", "l20-0", "l20-2"] == [endpoint.id for endpoint in (decision.pod, *decision.fallbacks)]


def test_within_the_deployment_slo_pack_load_takes_the_fullest_pod_with_room() -> None:
    strategy, pods = by_plan("slo-pack-load"), pods_of(l20=3, v100=1)
    known(*pods, output_s=0.02)  # 6.76 requests are in flight at the planned rate
    for pod, requests in zip(pods, (6, 5, 1, 0), strict=True):
        loaded(pod, requests, SHORT + 32)

    decision = strategy.pick(asking(SHORT), pods, 0.0)

    assert ["l20-1", "l20-2", "l20-0"] == [endpoint.id for endpoint in (decision.pod, *decision.fallbacks)]


def test_slo_pack_load_fills_no_pod_of_unknown_room() -> None:
    pods = pods_of(l20=2)
    loaded(pods[0], 1, 100)

    assert "l20-1" == by_plan("slo-pack-load").pick(asking(SHORT), pods, 0.0).pod.id


def test_fallbacks_are_of_the_same_deployment_first() -> None:
    pods = pods_of(v100=2, l20=2)
    pods[0].in_flight = 1

    [decision] = decisions(by_plan("slo-least-load"), pods, [(SHORT, 32)])

    ids = [endpoint.id for endpoint in (decision.pod, *decision.fallbacks)]
    assert ({"l20-0", "l20-1"}, "v100-1") == (set(ids[:2]), ids[2])


@pytest.mark.parametrize(
    "text", ["slo:2,least-request", "least-request,slo-pack-load:3", "slo,slo-least-load,random:0"]
)
def test_in_a_mixture_the_plan_weighs_with_the_others(text: str) -> None:
    pods = pods_of(l20=2, v100=2)
    pods[0].in_flight = 1
    tools = Tools(random.Random(1), plans=plans())
    parts = [(build(name, tools), int(weight or 1)) for name, _, weight in (p.partition(":") for p in text.split(","))]

    decision = Mixture(text, parts, tools).pick(asking(SHORT), pods, 0.0)

    assert "l20" == decision.pod.deployment
    assert decision.scored is not None and 4 == len(decision.scored.pods)


@pytest.mark.parametrize("others", [1, 5])
def test_in_a_mixture_the_first_deployment_is_as_far_before_the_next_however_many_there_are(others: int) -> None:
    pods = pods_of(l20=1, v100=1, **{f"other{number}": 1 for number in range(others)})
    pods[0].in_flight = 1
    tools = Tools(random.Random(1), plans=plans())
    mixture = Mixture("slo:3,least-request", [(build("slo", tools), 3), (build("least-request", tools), 1)], tools)

    assert "l20" == mixture.pick(asking(SHORT), pods, 0.0).pod.deployment


def test_a_mixture_says_what_stood_in() -> None:
    tools = Tools(random.Random(1))
    mixture = Mixture("slo:2,least-request", [(build(n, tools), 1) for n in ("slo", "least-request")], tools)

    decision = mixture.pick(asking(SHORT), pods_of(l20=2), 0.0)

    assert "no-plan+speed-unknown" == decision.fallback


def test_an_adapter_follows_the_plan_of_its_base_model() -> None:
    pods = [*pods_of(l20=1), *pods_of(v100=1)]

    decision = by_plan().pick(asking(LONG)._replace(model="an-adapter"), pods, 0.0)

    assert "v100" == decision.pod.deployment


@pytest.mark.parametrize("deployment", ["a\nb", "\u00e4", "x" * 500])
def test_a_reason_is_fit_for_a_header_whatever_deployments_are_called(deployment: str) -> None:
    hint = replace(a_hint(), share=(({deployment: 1.0},) * 3,) * 2, in_share=({deployment: 1.0},) * 3, throughput={})

    [decision] = decisions(by_plan("slo", hint), pods_of(**{deployment: 1}), [(SHORT, 32)])

    assert decision.reason.isascii() and decision.reason.isprintable() and len(decision.reason) < 200


@by_every_name
def test_sizes_of_no_tokens_and_of_any_number_are_served(name: str) -> None:
    pods = pods_of(l20=1, v100=1)
    known(*pods)

    for size in product((0, 1, 10**9), (0, 1, 10**9)):
        assert by_plan(name).pick(asking(*size), pods, 0.0).pod in [pod.endpoint for pod in pods]
