"""The keys of endpoint picking, and what must hold between them."""

from pathlib import Path

import pytest

from tests.support.configuration import loaded, problems_of

WHOLE = """
picker:
  trust_headers: false
  objectives: [{name: urgent, priority: 10}, {name: usual}]
  rewrites: [{models: [m], targets: [{model: v1, weight: 9}, {model: v2}]}, {targets: [{model: v2}]}]
"""


def test_objectives_and_rewrites_are_read(tmp_path: Path):
    picker = loaded(tmp_path, WHOLE).picker
    assert [("urgent", 10), ("usual", 0)] == [(one.name, one.priority) for one in picker.objectives]
    assert [("m",), ()] == [rule.models for rule in picker.rewrites]
    assert [[("v1", 9), ("v2", 1)], [("v2", 1)]] == [
        [(target.model, target.weight) for target in rule.targets] for rule in picker.rewrites
    ]


@pytest.mark.parametrize(
    ("text", "trusted"),
    [
        ("", True),
        ("identity: api_key", False),
        ("picker: {trust_headers: false}", False),
        ("{identity: api_key, picker: {trust_headers: true}}", True),
    ],
)
def test_headers_are_trusted_as_users_are_unless_said_otherwise(tmp_path: Path, text: str, trusted: bool):
    assert trusted == loaded(tmp_path, text).trusts_picker_headers


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("picker: {service: a/b}", "picker.service = a/b, must be empty without kubernetes.enabled"),
        ("{kubernetes: {enabled: true}, picker: {service: b}}", "picker.service = b, must be namespace/name"),
        ("{kubernetes: {enabled: true}, picker: {service: a/}}", "picker.service = a/, must be namespace/name"),
        (
            "{kubernetes: {enabled: true}, picker: {service: a/b, objectives: [{name: o}]}}",
            "picker.objectives = 1, must be empty with picker.service, the cluster has them",
        ),
        (
            "{kubernetes: {enabled: true}, picker: {service: a/b, rewrites: [{targets: [{model: m}]}]}}",
            "picker.rewrites = 1, must be empty with picker.service, the cluster has them",
        ),
        (
            "picker: {objectives: [{name: o}, {name: o, priority: 1}]}",
            "picker.objectives[1].name = o, must be unique, objectives[0] has it",
        ),
    ],
)
def test_what_contradicts_itself_is_found(tmp_path: Path, text: str, problem: str):
    assert (problem,) == problems_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("targets: []", "targets = [], must have at least 1 item"),
        ("models: [m]", "targets is missing, it has no default"),
        ("targets: [{model: m, weight: 0}]", "targets[0].weight = 0, must be greater than or equal to 1"),
        ("targets: [{model: m, weight: x}, {model: n}]", "targets[0].weight = x, must be a whole number"),
    ],
)
def test_a_rule_has_targets_with_weights(tmp_path: Path, text: str, problem: str):
    assert (f"picker.rewrites[0].{problem}",) == problems_of(tmp_path, f"picker: {{rewrites: [{{{text}}}]}}")
