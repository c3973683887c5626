"""The file of deployments: its keys, and what a wrong one is told."""

import json

import pytest

from optimizer.input.reading import InputError
from optimizer.planning.deployments import Deployment
from optimizer.service.deployments_file import parse_deployments


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_deployments(text)
    return caught.value.problems


def test_every_key_is_read():
    text = """
    deployments:
      - {name: m-l20, model: org/m, namespace: here, replicas: 2, ready: 1, min_replicas: 1,
         min_replicas_policy: always, max_replicas: 4, gpu: L20, pool: own, pool_priority: 1, spot: true,
         cost: 1.5, profile: l20.json, gpus_per_replica: 2, preemption: 0.1, domain: zone-a}
    """

    assert (
        Deployment(
            "here", "m-l20", "org/m", 2, 1, 1, True, 4, "L20", "own", 1, True, 1.5, "l20.json", 2, 0.1, "zone-a"
        ),
    ) == parse_deployments(text)


def test_name_and_model_are_enough_and_json_is_read_too():
    text = json.dumps({"deployments": [{"name": "d", "model": "m", "replicas": 3}]})

    assert (Deployment("default", "d", "m", 3, 3),) == parse_deployments(text)


def test_no_deployments_are_a_list_without_items():
    assert () == parse_deployments("deployments: []")


def test_all_problems_are_told_at_once_with_the_nearest_key():
    text = """
    deployments:
      - {name: a/b, model: m, replicas: -1}
      - {nam: b, model: m, min_replica: 2, cost: .nan, spot: 1, zzz: 1}
    """

    found = problems(text)

    assert "deployments[0].name = \"a/b\", must match pattern '^[^/\\s]+$'" in found
    assert "deployments[0].replicas = -1, must be greater than or equal to 0" in found
    assert "deployments[1].name: is missing" in found
    assert "deployments[1].nam: unknown, did you mean name?" in found
    assert "deployments[1].min_replica: unknown, did you mean min_replicas?" in found
    assert any(line.startswith("deployments[1].zzz: unknown, known are name, model, ") for line in found)
    assert any(line.startswith("deployments[1].cost = ") for line in found)
    assert any(line.startswith("deployments[1].spot = 1, must ") for line in found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "deployments: is missing"),
        ("deployments: [{name: d, model: m}, {name: d, model: n}]", "default/d: is there 2 times"),
        ("deployments: [{name: d, model: m, min_replicas: 3, max_replicas: 2}]", "min_replicas = 3"),
        ("deployments: &a [*a]", "must be an object"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str, problem: str):
    assert problem in "; ".join(problems(text))
