"""Strategies that go by what engines say, hold and can do: each by its header, on four unequal engines."""

from collections.abc import Mapping

import httpx
import pytest

from tests.support.own_engine import own_engine
from tests.support.stage import LOADED, LONG, PICKS, PODS, Cast, always, words

HALF = 2048
"""Tokens of the half of a prompt: 8 blocks."""


def fallbacks(cast: Cast, strategy: str, reason: str) -> float:
    return cast.stack.figure("forebay_fallbacks_total", strategy=strategy, reason=reason)


@pytest.mark.parametrize("strategy", ["least-kv-cache", "least-gpu-cache"])
def test_the_pod_whose_cache_is_emptiest_is_taken_though_it_has_most_in_flight(cast: Cast, strategy: str) -> None:
    with cast.holding(h100=4), cast.holding(prompt=3000, a100=1, l20=1, l4=1):
        cast.signals("kv_usage", lambda use: all((use[pod] or 0) > 0.1 for pod in ("a100", "l20", "l4")))
        assert always("h100") == cast.picks(strategy)

    assert all("KV use, 1 of 4 tied" in reason and "fallback" not in reason for reason in cast.reasons)


def test_least_utilization_sees_what_others_send_to_the_engines(cast: Cast) -> None:
    def busy(running: Mapping[str, float | None]) -> bool:
        return {pod: 4 for pod in PODS if pod != "l4"} | {"l4": 1} == running

    with cast.holding(l4=1), cast.behind_the_back(a100=4, h100=4, l20=4):
        cast.signals("running", busy)
        assert always("l4") == cast.picks("least-utilization")

    assert all("running and waiting, 1 of 4 tied" in reason for reason in cast.reasons)


@pytest.mark.parametrize(
    ("strategy", "reason"), [("least-kv-cache", "kv_usage-missing"), ("least-utilization", "running-missing")]
)
def test_where_an_engine_tells_nothing_own_counts_stand_in_which_is_said_and_counted(
    cast: Cast, strategy: str, reason: str
) -> None:
    with own_engine() as mute:
        cast.describe({"a100": mute.address})
        with cast.holding(h100=1, l20=1, l4=1):
            cast.signals("kv_usage", lambda use: None not in [use[pod] for pod in ("h100", "l20", "l4")])
            before = fallbacks(cast, strategy, reason)
            assert always("a100") == cast.picks(strategy)

        assert all(said.endswith(f", fallback={reason}") for said in cast.reasons)
        assert PICKS == fallbacks(cast, strategy, reason) - before
        assert PICKS == len(mute.received)


def test_prefix_cache_goes_where_most_of_the_prompt_is_until_that_is_a_hot_spot(cast: Cast) -> None:
    prompt = words(2 * HALF)
    cast.ask(pod="l4", prompt=prompt[: 4 * HALF])
    cast.ask(pod="l20", prompt=prompt)
    cast.at_rest()

    with cast.holding(l20=1):
        assert always("l20") == cast.picks("prefix-cache", prompt=prompt)
    assert not [reason for reason in cast.reasons if " 0 of " in reason or "fallback" in reason]
    with cast.holding(l20=9):
        assert always("l4") == cast.picks("prefix-cache", prompt=prompt)


@pytest.mark.parametrize("strategy", ["prefix-cache-and-load", "prefix-cache-preble"])
def test_prefix_cache_and_load_leaves_the_holder_when_waiting_costs_more_than_computing(
    cast: Cast, strategy: str
) -> None:
    prompt = words(2 * HALF)
    cast.ask(pod="l4", prompt=prompt[: 4 * HALF])
    cast.ask(pod="l20", prompt=prompt)
    cast.at_rest()

    with cast.holding(l20=1):
        assert always("l20") == cast.picks(strategy, prompt=prompt)
    with cast.holding(prompt=3 * HALF, output=1000, l20=1):
        assert always("l4") == cast.picks(strategy, prompt=prompt)


@pytest.mark.parametrize("strategy", ["prefix-cache", "prefix-cache-and-load", "prefix-cache-preble"])
def test_a_prompt_without_a_block_goes_by_load_and_says_so(cast: Cast, strategy: str) -> None:
    with cast.holding(prompt=100, a100=1, h100=1, l4=1):
        before = fallbacks(cast, strategy, "no-blocks")
        assert always("l20") == cast.picks(strategy, prompt="Short")

    assert all(reason.endswith(", fallback=no-blocks") for reason in cast.reasons)
    assert PICKS == fallbacks(cast, strategy, "no-blocks") - before


def test_a_lora_adapter_is_served_where_it_is_loaded_and_preferably_where_it_is_active(learned: Cast) -> None:
    with learned.holding(l20=1, model=learned.adapter):
        assert always("l20") == learned.picks(model=learned.adapter)
        assert {"l20": True, "l4": False} == {
            pod: learned.adapter in learned.state(pod)["warm"] for pod in ("l20", "l4")
        }
    assert set(LOADED) == set(learned.picks("random", 24, model=learned.adapter))


def give_up(cast: Cast) -> None:
    """A request that its client gives up before anything comes, and one in the middle of its stream."""
    body = cast.stack.body(model=cast.adapter, messages=[{"role": "user", "content": words(2000)}], max_tokens=LONG)
    headers = {"user": cast.user}
    with pytest.raises(httpx.ReadTimeout):
        cast.stack.users.post("/v1/chat/completions", json=body, headers=headers, timeout=0.3)
    with cast.stack.users.stream(
        "POST", "/v1/chat/completions", json=body | {"stream": True}, headers=headers
    ) as answer:
        assert 200 == answer.status_code


@pytest.mark.parametrize("speeds_are_known", [False, True])
def test_an_adapter_stays_where_it_was_used_whatever_clients_give_up(cast: Cast, speeds_are_known: bool) -> None:
    for size in [(10, 1), (1000, 1), (10, 10), (2000, 1)] * 2 if speeds_are_known else ():
        cast.teach(*((pod, *size) for pod in PODS))
    cast.ask(pod="l20", model=cast.adapter)
    cast.at_rest()

    for _ in range(4):
        give_up(cast)
        cast.stack.settled()

    assert always("l20") == cast.picks(model=cast.adapter, prompt=words(100))
    assert speeds_are_known is not any("fallback=speed-unknown" in reason for reason in cast.reasons)


def test_the_default_takes_the_pod_it_learned_to_be_fast_and_leaves_it_for_one_that_holds_the_prompt(
    learned: Cast,
) -> None:
    prompt = words(3 * HALF)
    with learned.holding(h100=1):
        assert always("h100") == learned.picks(prompt=words(HALF))

    learned.ask(pod="l20", prompt=prompt)
    learned.at_rest()
    assert always("l20") == learned.picks(prompt=prompt)
    assert all(reason.startswith("wait ") and "fallback" not in reason for reason in learned.reasons)
