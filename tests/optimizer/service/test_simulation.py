"""Questions of "what if": their plans are the cheapest, and they are bounded."""

import json
from itertools import product
from typing import Any

import pytest

from optimizer.input.reading import InputError
from optimizer.service.simulation import MOST_BUCKETS, MOST_S, Now, answer, answer_case, question_of
from tests.support.boards import L20, SHORT, a_board, a_decided_board

LONG = (2048, 256)


def now() -> Now:
    board, model = a_decided_board()
    assert model.decision is not None
    return Now(model.decision.demand, model.deployments, board.shelf.of(model.deployments))


def asked(**question: Any) -> dict[str, Any]:
    return answer(question_of({"model": "org/m", **question}), now())


def problems(**question: Any) -> str:
    with pytest.raises(InputError) as caught:
        asked(**question)
    return str(caught.value)


def lengths(*found: tuple[int, int]) -> list[dict[str, int]]:
    return [{"input_tokens": into, "output_tokens": out} for into, out in found]


def test_the_present_demand_costs_what_is_planned_now():
    assert ({"m-l20": 5, "m-v100": 0}, 5.0) == (asked()["replicas"], asked()["cost"])


@pytest.mark.parametrize(
    ("question", "rate"), [({"factor": 2.0}, 60.0), ({"rate": 7.0}, 7.0), ({"rate": 7.0, "factor": 3.0}, 21.0)]
)
def test_another_rate_is_planned_for(question: dict[str, Any], rate: float):
    found = asked(**question)

    assert rate == pytest.approx(sum(bucket["rate"] for bucket in found["buckets"]))
    assert -(-rate * 1.5 // 10) == found["replicas"]["m-l20"]


def test_the_mix_is_the_cheapest_of_all():
    found = asked(rate=12.0, lengths=lengths(SHORT, LONG), margin=1.0)

    # 6 req/s of each: L20s carry 10 short ones a second and no long one, V100s 12 and 2.
    def is_enough(l20: int, v100: int) -> bool:
        return v100 >= 6 / 2 and 6 <= 10 * l20 + 12 * (v100 - 6 / 2)

    cheapest = min(l20 + 3 * v100 for l20, v100 in product(range(10), repeat=2) if is_enough(l20, v100))
    assert cheapest == found["cost"]
    assert [0.0, 0.0] == found["unserved"]


def test_deployments_can_be_left_out_and_capped():
    assert {"m-v100": 4} == asked(without=["m-l20"])["replicas"]
    capped = asked(max_replicas={"m-l20": 2})  # at 1.5 times the delays an L20 carries 6.7 req/s, a V100 8
    assert ({"m-l20": 1, "m-v100": 3}, 10.0) == (capped["replicas"], capped["cost"])


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ({"fctor": 2}, "fctor: unknown, did you mean factor?"),
        ({"factor": 0}, "factor = 0"),
        ({"rate": float("nan")}, "rate = NaN"),
        ({"rate": True}, "rate = true"),
        ({"without": ["x"]}, "x: is no deployment of org/m"),
        ({"without": ["m-l20", "m-v100"]}, "no deployment is left that has a profile"),
        ({"lengths": []}, "lengths = a list, must"),
        ({"lengths": lengths(SHORT) * (MOST_BUCKETS + 1)}, "lengths = a list, must"),
        ({"slo": {"ttft": 2.0}}, "left out: m-l20: measured for ttft <= 1 s, has no fit to plan for others"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(question: dict[str, Any], problem: str):
    assert problem in problems(**question)


def test_without_traffic_lengths_must_be_given():
    board = a_board(L20)
    demand = board.models["org/m"].decider._estimator.demand()

    with pytest.raises(InputError, match="lengths: no request has completed yet"):
        answer(question_of({"model": "org/m", "rate": 1.0}), Now(demand, (L20,), now().profiles))


def test_a_case_is_answered_as_forebay_plan_does():
    case = {"gpus": {"a": {"cost": 1.0, "throughput": [2.0]}, "b": {"cost": 3.0, "throughput": [9.0]}}, "rate": [18.0]}

    assert ({"a": 0, "b": 2}, True) == tuple(
        answer_case(json.dumps(case).encode())[name] for name in ("replicas", "verified")
    )


def test_a_case_is_bounded_in_size_and_time():
    def a_case(types: int, buckets: int) -> bytes:
        gpus = {f"g{n}": {"cost": 1.0 + n / 7, "throughput": [1.0 + n] * buckets} for n in range(types)}
        return json.dumps({"gpus": gpus, "rate": [3.3] * buckets, "time_limit_s": 1e6}).encode()

    for too_big in (a_case(99, 1), a_case(1, MOST_BUCKETS + 1)):
        with pytest.raises(InputError, match="must have at most"):
            answer_case(too_big)
    assert answer_case(a_case(10, 100))["solve_s"] < 10 * MOST_S
