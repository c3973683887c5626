"""Cases and plans as JSON: every problem of an input at once, and answers with all keys of contracts section 10."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.solver.case import Case, GpuType
from optimizer.solver.case_json import parse_case, plan_page
from optimizer.solver.plan import make_plan

KNOWN = (
    "known are time_limit_s, pools, gpus, rate, headroom, current, inventory, budget, spot_share, "
    "spot_share_per_domain, on_demand_min"
)
KNOWN_OF_GPU = "known are cost, throughput, min, max, gpu, gpus_per_replica, pool, spot, preemption, domain"
GPU = {"cost": 1.0, "throughput": [2.0, 0]}


def parse(**changed: object) -> Case:
    return parse_case(json.dumps({"gpus": {"a": GPU}, "rate": [1.0, 2]} | changed))


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_case(text)
    return caught.value.problems


def problem(**changed: object) -> str:
    [only] = problems(json.dumps({"gpus": {"a": GPU}, "rate": [1.0, 2]} | changed))
    return only


def test_all_but_gpus_and_rate_has_defaults():
    assert Case((GpuType("a", 1.0, (2.0, 0.0)),), (1.0, 2.0), 1.0, None, 2.0) == parse()


def test_every_field_is_read():
    gpu = {"cost": 0, "throughput": [1, 1e-9], "min": 1, "max": 4}

    case = parse(gpus={"a": gpu, "b": GPU | {"max": None}}, headroom=1.5, current={"b": 3}, time_limit_s=0.5)

    assert GpuType("a", 0.0, (1.0, 1e-9), 1, 4) == case.types[0]
    assert (1.5, (0, 3), 0.5, None) == (case.headroom, case.current, case.time_limit_s, case.types[1].highest)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"extra": 1}, f"extra: unknown key, {KNOWN}"),
        ({"gpus": {"a": GPU | {"price": 1}}}, f"gpus.a.price: unknown key, {KNOWN_OF_GPU}"),
        ({"gpus": {"a": {"throughput": [1, 1]}}}, "gpus.a.cost: is missing"),
        ({"gpus": {"a": {"cost": 1}}}, "gpus.a.throughput: is missing"),
        ({"gpus": []}, "gpus = a list, must be an object"),
        ({"gpus": {"a": 3}}, "gpus.a = 3, must be an object"),
        ({"gpus": {"a": GPU | {"throughput": [1.0]}}}, "gpus.a.throughput has 1 buckets, rate has 2"),
        ({"gpus": {"a": GPU | {"throughput": 1.0}}}, "gpus.a.throughput = 1.0, must be a list of numbers"),
        ({"gpus": {"a": GPU | {"cost": -1}}}, "gpus.a.cost = -1, must be a number >= 0"),
        ({"gpus": {"a": GPU | {"cost": True}}}, "gpus.a.cost = true, must be a number >= 0"),
        ({"gpus": {"a": GPU | {"min": 1.5}}}, "gpus.a.min = 1.5, must be a whole number from 0 to 1000000000000"),
        ({"gpus": {"a": GPU | {"min": True}}}, "gpus.a.min = true, must be a whole number from 0 to 1000000000000"),
        ({"gpus": {"a": GPU | {"min": 3, "max": 2}}}, "gpus.a.max = 2, must be at least min = 3"),
        ({"rate": [1.0, "2"]}, 'rate[1] = "2", must be a number >= 0'),
        ({"rate": [1.0, None]}, "rate[1] = null, must be a number >= 0"),
        ({"rate": [1.0, float("nan")]}, "rate[1] = NaN, must be a number >= 0"),
        ({"rate": [1.0, float("inf")]}, "rate[1] = Infinity, must be a number >= 0"),
        ({"rate": [1.0, 10**400]}, f"rate[1] = 1{'0' * 59}..., must be a number >= 0"),
        ({"gpus": {"a": GPU | {"cost": 1e308}}}, "gpus.a.cost = 1e+308, must be a number <= 1e+100"),
        ({"rate": [1.0, 1e101]}, "rate[1] = 1e+101, must be a number <= 1e+100"),
        ({"gpus": {"a\nb": GPU | {"price": 1}}}, f"gpus.a b.price: unknown key, {KNOWN_OF_GPU}"),
        ({"headroom": 0}, "headroom = 0, must be a number >= 1e-06"),
        ({"headroom": -1.5}, "headroom = -1.5, must be a number >= 1e-06"),
        ({"time_limit_s": 0}, "time_limit_s = 0, must be a number > 0"),
        ({"current": {"b": 1}}, "current.b: unknown key, known are a"),
        ({"current": {"a": -1}}, "current.a = -1, must be a whole number from 0 to 1000000000000"),
        ({"current": [1]}, "current = a list, must be an object"),
        ({"gpus": {"a": GPU | {"gpu": 4}}}, "gpus.a.gpu = 4, must be a text"),
        ({"gpus": {"a": GPU | {"spot": 1}}}, "gpus.a.spot = 1, must be true or false"),
        ({"gpus": {"a": GPU | {"preemption": 0.1}}}, "gpus.a.preemption = 0.1, needs spot = true"),
        ({"gpus": {"a": GPU | {"spot": True, "preemption": 1}}}, "gpus.a.preemption = 1, must be a number <= 0.99"),
        ({"gpus": {"a": GPU | {"pool": "x"}}}, 'gpus.a.pool = "x", must be one of pools: none'),
        ({"pools": {"x": {"rank": 1}}}, "pools.x.rank: unknown key, known are priority, inventory"),
        ({"pools": {"x": {"inventory": {"a": 1}}}}, "pools.x.inventory.a: no replica has such GPUs"),
        ({"inventory": {"A": 1}}, "inventory.A: no replica has such GPUs"),
        ({"inventory": {"a": -1}}, "inventory.a = -1, must be a whole number from 0 to 1000000000000"),
        ({"budget": -1}, "budget = -1, must be a number >= 0"),
        ({"spot_share": 1.5}, "spot_share = 1.5, must be a number <= 1"),
        ({"gpus": {"a": GPU | {"min": 2}}, "inventory": {"a": 1}},
         "inventory.a: 2, must be at most 1, whatever the plan"),
        ({"gpus": {"a": GPU | {"min": 2}}, "budget": 1.5}, "budget: 2, must be at most 1.5, whatever the plan"),
        ({"gpus": {"a": GPU | {"max": 2}}, "on_demand_min": 3},
         "on_demand_min: 2, must be at least 3, whatever the plan"),
    ],
)  # fmt: skip
def test_a_problem_names_key_value_and_rule(changed, expected):
    assert expected == problem(**changed)


def test_what_there_is_becomes_limits():
    spot = GPU | {"gpu": "L4", "gpus_per_replica": 2, "pool": "far", "spot": True, "preemption": 0.25, "domain": "z"}

    case = parse(
        gpus={"a": GPU | {"pool": "own"}, "b": spot},
        pools={"own": {"inventory": {"a": 3}}, "far": {"priority": 2}},
        inventory={"L4": 8},
        budget=7,
        spot_share=0.5,
        spot_share_per_domain=0.25,
        on_demand_min=1,
    )

    assert [(0, (2.0, 0.0)), (2, (1.5, 0.0))] == [(gpu.priority, gpu.throughput) for gpu in case.types]
    assert {
        "inventory.L4": ((0.0, 2.0), 8.0), "pools.own.inventory.a": ((1.0, 0.0), 3.0), "budget": ((1.0, 1.0), 7.0),
        "spot_share": ((-1.0, 0.75), 0.0), "spot_share_per_domain 'z'": ((-0.5, 1.125), 0.0),
        "on_demand_min": ((-1.0, 0.0), -1.0),
    } == {limit.name: (limit.weights, limit.most) for limit in case.limits}  # fmt: skip


@pytest.mark.parametrize(("headroom", "times"), [(1, 1.0), (1.5, 1.5), (0.8, 1.25)])
def test_headroom_multiplies_the_load_or_limits_the_utilisation(headroom: float, times: float):
    assert times == parse(headroom=headroom).headroom


def test_all_problems_come_in_one_pass():
    found = problems('{"gpus": {"a": {"cost": "1"}, "b": 2}, "rate": [-1, true], "headroom": null, "x": 0}')

    assert {"x", "rate[0]", "rate[1]", "gpus.a.throughput", "gpus.a.cost", "gpus.b", "headroom"} == {
        line.partition(" ")[0].rstrip(":") for line in found
    }


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff", '{"a": 01}'])
def test_what_is_no_json_is_one_problem(text):
    [only] = problems(text)

    assert only.startswith("no JSON: ")


def test_a_repeated_key_is_a_problem_because_one_value_would_be_lost():
    assert ("rate: is there 2 times",) == problems('{"gpus": {}, "rate": [1], "rate": [2]}')


def test_the_answer_has_names_and_is_json():
    case = parse(gpus={"a": GPU, "b": {"cost": 5, "throughput": [1, 1]}}, rate=[4, 3], budget=20)

    page = json.loads(json.dumps(plan_page(case, make_plan(case), 0.25)))

    assert {"a": 2, "b": 3} == page["replicas"]
    assert (17.0, {"a": [1.0, 0.0], "b": [0.0, 1.0]}, [0.0, 0.0]) == (
        page["cost"],
        page["assignment"],
        page["unserved"],
    )
    assert {"budget": {"used": 17.0, "most": 20.0}} == page["limits"]
    assert (0.0, 0.25, True, []) == (page["gap"], page["solve_s"], page["verified"], page["problems"])
