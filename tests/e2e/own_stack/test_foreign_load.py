"""Load that others put on engines, behind the gateway's back: the default strategy sees it, and sees it leave."""

from collections.abc import Callable, Mapping

import pytest

from tests.support.stage import Cast, always
from tests.support.waiting import until

PROMPT = 3000
"""Tokens; five fill the cache of the A100, three that of an L20, two that of an L4."""


def all_report(*pods: str, at_least: float) -> Callable[[Mapping[str, float | None]], bool]:
    """Whether each of these pods reports so much."""

    def holds(figures: Mapping[str, float | None]) -> bool:
        return all((figures[pod] or 0) >= at_least for pod in pods)

    return holds


def nothing_foreign(cast: Cast) -> bool:
    return not any(state["foreign"]["running"] + state["foreign"]["waiting"] for state in cast.states())


def test_before_speeds_are_known_pods_that_others_load_are_left_alone(cast: Cast) -> None:
    with cast.behind_the_back(prompt=PROMPT, a100=12, l20=12, l4=12):
        cast.signals("waiting", all_report("a100", "l20", "l4", at_least=3))
        assert always("h100") == cast.picks("forebay")

        assert all("foreign load on 3 of 4 pods, fallback=speed-unknown" in reason for reason in cast.reasons)
        assert 12 == pytest.approx(sum(cast.state("l4")["foreign"][kind] for kind in ("running", "waiting")), abs=1)

    until(lambda: nothing_foreign(cast))
    assert len(set(cast.picks("forebay", 12))) > 1
    assert not any("foreign" in reason for reason in cast.reasons)


def test_a_faster_pod_that_others_load_is_left_for_a_slower_one_until_they_leave(learned: Cast) -> None:
    pair = {"external-filter": "gpu in (a100,l20)"}
    until(lambda: nothing_foreign(learned))
    assert always("a100") == learned.picks(headers=pair)

    with learned.behind_the_back(prompt=PROMPT, a100=20):
        learned.signals("waiting", all_report("a100", at_least=3))
        assert always("l20") == learned.picks(headers=pair)
        assert all(reason.endswith("foreign load on 1 of 2 pods") for reason in learned.reasons)

    until(lambda: nothing_foreign(learned))
    assert always("a100") == learned.picks(headers=pair)


def test_streams_of_our_own_are_not_foreign_whoever_ends_them(cast: Cast) -> None:
    def engines_are_idle() -> bool:
        assert nothing_foreign(cast)
        return not any(state["signals"]["running"] or state["signals"]["waiting"] for state in cast.states())

    with cast.holding(prompt=PROMPT, l4=4, l20=6):
        cast.signals("waiting", all_report("l4", at_least=1))
        assert nothing_foreign(cast)
    until(engines_are_idle)  # they notice a little later that the clients have left
