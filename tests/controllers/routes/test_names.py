"""Names of routes and grants."""

import re

import pytest

from controllers.routes.names import LONGEST, RESERVED, grant_name, route_name

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@pytest.mark.parametrize("model", ["deepseek-r1-distill-llama-8b", "m", "llama-3.1-8b", "8b", "a" * (LONGEST - 7)])
def test_a_model_that_an_object_can_be_called_after_keeps_its_name(model: str):
    assert f"{model}-router" == route_name(model)


@pytest.mark.parametrize(
    ("model", "beginning"),
    [
        ("org/Name", "org-name-"),
        ("Qwen2.5_Coder", "qwen2-5-coder-"),
        ("-edge-", "edge-"),
        ("a.", "a-"),
        ("模型", "model-"),
        ("x" * 300, "x" * 233 + "-"),
        (RESERVED.removesuffix("-router"), "aibrix-reserved-"),
    ],
)
def test_other_models_are_called_by_what_is_left_and_a_hash(model: str, beginning: str):
    name = route_name(model)

    assert re.fullmatch(re.escape(beginning) + r"[0-9a-f]{12}-router", name)
    assert NAME.fullmatch(name)
    assert len(name) <= LONGEST


def test_models_that_differ_by_what_a_name_cannot_hold_have_names_of_their_own():
    models = ["foo-bar", "foo_bar", "Foo-bar", "FOO-BAR", "foo/bar", "foo.bar", "foo--bar", "foo-bar-", "foo bar"]

    assert len(models) == len({route_name(model) for model in models})


def test_a_grant_is_called_after_both_namespaces():
    assert "aibrix-system-reserved-referencegrant-in-default" == grant_name("aibrix-system", "default")
