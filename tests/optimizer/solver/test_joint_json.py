"""Joint cases as JSON: models around the fields of cases, and answers for each model and for all."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.solver.case import Case
from optimizer.solver.joint import JointCase, make_joint_plan
from optimizer.solver.joint_json import joint_page, parse_input

L4, H100 = {"cost": 1, "throughput": [1]}, {"cost": 6, "throughput": [7]}
MODEL = {"gpus": {"L4": L4, "H100": H100}, "rate": [5]}


def text(**changed: object) -> str:
    return json.dumps({"models": {"m": MODEL, "n": MODEL}} | changed)


def problems(**changed: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_input(text(**changed))
    return caught.value.problems


def test_an_input_without_models_is_a_case():
    assert isinstance(parse_input(json.dumps(MODEL)), Case)


def test_models_have_their_own_limits_and_share_others():
    own = MODEL | {"budget": 5, "headroom": 0.5, "gpus": {"L4": L4 | {"pool": "near"}, "H100": H100}}

    joint = parse_input(
        text(models={"m": own, "n": MODEL}, pools={"near": {"priority": 1}}, inventory={"L4": 3}, time_limit_s=4)
    )

    assert isinstance(joint, JointCase)
    assert (["m", "n"], 4.0, 2.0) == (list(joint.cases), joint.time_limit_s, joint.cases["m"].headroom)
    assert [("inventory.L4", (1.0, 0.0, 1.0, 0.0), 3.0), ("m: budget", (1.0, 6.0, 0.0, 0.0), 5.0)] == [
        (limit.name, limit.weights, limit.most) for limit in joint.together().limits
    ]
    assert [1, 0, 0, 0] == [gpu.priority for gpu in joint.together().types]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"models": [1]}, "models = a list, must be an object"),
        ({"models": {"m": {"rate": [1]}}}, "models.m.gpus: is missing"),
        ({"models": {"m": MODEL | {"time_limit_s": 1}}}, "models.m.time_limit_s: unknown key, known are "),
        ({"models": {"m": MODEL | {"rate": [-1]}}}, "models.m.rate[0] = -1, must be a number >= 0"),
        ({"models": {"m": MODEL | {"inventory": {"A": 1}}}}, "models.m.inventory.A: no replica has such GPUs"),
        (
            {"models": {"m": MODEL, "n": MODEL | {"current": {"L4": 1}}}},
            "current: must be given of each model or of none",
        ),
        ({"rate": [1]}, "rate: unknown key, known are models, "),
        ({"inventory": {"A100": 1}}, "inventory.A100: no replica has such GPUs"),
        ({"time_limit_s": 0}, "time_limit_s = 0, must be a number > 0"),
        ({"on_demand_min": -1}, "on_demand_min = -1, must be a whole number"),
        (
            {"models": {"m": MODEL | {"gpus": {"L4": L4 | {"min": 3}}}}, "budget": 2},
            "budget: 3, must be at most 2, whatever",
        ),
    ],
)
def test_a_problem_names_its_model(changed, expected):
    [only] = problems(**changed)

    assert only.startswith(expected)


def test_the_answer_has_a_plan_of_each_model_and_their_sums():
    joint = parse_input(text(inventory={"L4": 5, "H100": 1}))

    page = json.loads(json.dumps(joint_page(joint, make_joint_plan(joint), 0.5)))

    assert [{"L4": 0, "H100": 1}, {"L4": 5, "H100": 0}] == sorted(
        (model["replicas"] for model in page["models"].values()), key=lambda replicas: replicas["L4"]
    )
    assert (11.0, 0.0, 0.0, True, True, 0.5, "highs", []) == tuple(
        page[key] for key in ("cost", "unserved_rate", "gap", "joint", "verified", "solve_s", "solver", "problems")
    )
    assert {"inventory.L4": {"used": 5.0, "most": 5.0}, "inventory.H100": {"used": 1.0, "most": 1.0}} == page["limits"]
