"""The claim of one workload."""

from math import inf

import pytest

from controllers.routes.workloads import (
    ADAPTERS,
    DEPLOYMENTS,
    FLEETS,
    Backend,
    Claim,
    claim_of,
    has_model,
    is_duration,
    seconds,
)
from tests.support.kubernetes.workloads import a_workload


def a_claim(kind=DEPLOYMENTS, **more: str) -> Claim:
    claim = claim_of(kind, a_workload(**more))
    assert claim is not None
    return claim


def test_a_label_is_enough():
    claim = a_claim()

    assert ("m", Backend("default", "m", 8000), (), "", ()) == claim[1:]


def test_port_service_paths_and_timeout_are_asked_for():
    claim = a_claim(namespace="a", port="9000", _service="svc", _paths=" /version, /v1/own/ ,,", _timeout="2m30s")

    assert ("m", Backend("a", "svc", 9000), ("/version", "/v1/own"), "2m30s", ()) == claim[1:]


def test_without_the_name_of_a_model_there_is_nothing_to_ask():
    assert claim_of(DEPLOYMENTS, a_workload(model="")) is None
    assert not has_model(a_workload(model=""))


def test_a_name_that_no_label_can_hold_is_in_the_annotation():
    claim = a_claim(name="qwen", model="", _name="org/Qwen")

    assert ("org/Qwen", "qwen") == (claim.model, claim.backend.service)
    assert has_model(a_workload(model="", _name="org/Qwen"))
    assert "m" == a_claim(model="m", _name="org/Qwen").model


@pytest.mark.parametrize(
    ("kind", "model", "service"),
    [
        (DEPLOYMENTS, "m", "m"),
        (FLEETS, "m", "m"),
        (ADAPTERS, "m", "d"),
        (DEPLOYMENTS, "M_1", "d"),
        (DEPLOYMENTS, "llama-3.1", "d"),
    ],
)
def test_the_service_is_called_like_the_model_where_it_can_be(kind, model: str, service: str):
    assert service == a_claim(kind, name="d", model=model).backend.service


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"port": "http"}, "BadPort"),
        ({"port": "0"}, "BadPort"),
        ({"port": "65536"}, "BadPort"),
        ({"port": "\uff18"}, "BadPort"),
        ({"_service": "My_Service"}, "BadServiceName"),
        ({"_service": "a" * 64}, "BadServiceName"),
        ({"_paths": "v1/x"}, "BadPath"),
        ({"_paths": "/a//b"}, "BadPath"),
        ({"_paths": "/a/../b"}, "BadPath"),
        ({"_paths": "/a/.."}, "BadPath"),
        ({"_paths": "/a/./b"}, "BadPath"),
        ({"_paths": "/a%2fb"}, "BadPath"),
        ({"_paths": "/a%2"}, "BadPath"),
        ({"_paths": "/a#b"}, "BadPath"),
        ({"_paths": "/a b"}, "BadPath"),
        ({"_paths": "/" + "a" * 1024}, "BadPath"),
        ({"_timeout": "120"}, "BadTimeout"),
        ({"_timeout": "1.5s"}, "BadTimeout"),
        ({"_timeout": "-1s"}, "BadTimeout"),
    ],
)
def test_what_cannot_be_used_is_a_problem_and_as_if_it_were_not_there(wrong: dict[str, str], reason: str):
    claim = a_claim(**wrong)

    assert a_claim()[2:5] == claim[2:5]
    (problem,) = claim.problems
    assert (reason, True, "default/d") == (problem.reason, problem.is_warning, problem.about.metadata.key)
    assert next(iter(wrong.values())) in problem.note


def test_one_bad_path_of_several_is_left_out():
    claim = a_claim(_paths="/good,bad,/also/good")

    assert (("/good", "/also/good"), ["BadPath"]) == (claim.paths, [problem.reason for problem in claim.problems])


@pytest.mark.parametrize("model", ["a\nb", " a", "a ", "a\x00", "é" * 129])
def test_a_model_that_cannot_be_sent_in_a_header_gets_no_route(model: str):
    claim = a_claim(model="", _name=model)

    assert ("", ["BadModelName"]) == (claim.model, [problem.reason for problem in claim.problems])


def test_durations_are_compared_and_none_is_the_longest():
    assert [0.25, 90.0, 3661.0, inf] == [seconds(text) for text in ("250ms", "1m30s", "1h1m1s", "0s")]
    assert [True, True, False, False] == [is_duration(text) for text in ("1h", "1h1m1s1ms", "1h1m1s1ms1s", "100000s")]
