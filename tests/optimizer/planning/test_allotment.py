"""Allotments: several models on one supply, none of which keeps what it happened to take first."""

from optimizer.planning.allotment import allotments, limits_of
from optimizer.planning.deployments import Deployment
from optimizer.solver.case import Case, GpuType
from optimizer.solver.supply import Supply

FIVE = Supply({"L4": 5})


def a_deployment(name: str, replicas: int = 0, model: str = "") -> Deployment:
    return Deployment("default", name, model or name, replicas, replicas, gpu="L4")


def a_case(name: str, rate: float, throughput: float = 10.0) -> Case:
    return Case((GpuType(f"default/{name}", 1.0, (throughput,)),), (rate,))


def test_enough_for_all_is_allotted_to_nobody():
    cases = {"a": a_case("a", 20.0), "b": a_case("b", 30.0)}

    assert {} == allotments(cases, [a_deployment("a"), a_deployment("b")], FIVE)
    assert {} == allotments(cases, [a_deployment("a"), a_deployment("b")], Supply())


def test_what_is_not_enough_goes_where_it_serves_most():
    cases = {"a": a_case("a", 50.0), "b": a_case("b", 40.0, throughput=20.0)}

    allotted = allotments(cases, [a_deployment("a", 5), a_deployment("b")], FIVE)

    assert {"default/a": 3, "default/b": 2} == allotted


def test_deployments_that_nobody_plans_keep_what_they_have():
    cases = {"a": a_case("a", 50.0), "b": a_case("b", 20.0, throughput=20.0)}
    deployments = [a_deployment("a"), a_deployment("b"), a_deployment("by-hand", 2)]

    assert {"default/a": 2, "default/b": 1} == allotments(cases, deployments, FIVE)


def test_one_model_alone_and_one_whose_deployment_went_share_nothing():
    cases = {"a": a_case("a", 90.0), "gone": a_case("gone", 90.0)}

    assert {} == allotments(cases, [a_deployment("a")], FIVE)


def test_an_allotment_is_a_limit_of_its_type():
    (limit,) = limits_of(a_case("a", 50.0), {"default/a": 3, "default/b": 2})

    assert (0.0, 1.0) == (limit.excess((3,)), limit.excess((4,)))
    assert () == limits_of(a_case("a", 50.0), {})
